//! The whole way of a datagram in the engine: from the socket's buffer to whom it answers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::link::{Expects, Link, Received};
use super::peer::Peer;
use super::socket::Family;
use crate::snmp::auth::Version;
use crate::snmp::message::Datagram;
use crate::snmp::pdu::Answer;
use crate::snmp::stats::{Counters, Dropped};
use crate::snmp::v3::clock::Stamp;
use crate::snmp::v3::session::Session;

struct Bench {
    runtime: Runtime,
    link: Arc<Link>,
    session: Arc<Session>,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// Hands a datagram to an engine that waits for one of its id, once for each thing it may be waiting for; true when it
/// was somebody's answer.
pub(in crate::snmp) fn receive(octets: &[u8], make_session: impl FnOnce() -> Session) -> bool {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(|| {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime without threads");
            let _here = runtime.enter();
            let link = Link::bind(Family::V4, 4_096, Arc::new(Counters::default()))
                .expect("a socket on a port of the system's choosing");
            Bench {
                link: Arc::new(link),
                session: Arc::new(make_session()),
                runtime,
            }
        });
        bench.receive(octets)
    })
}

impl Bench {
    fn receive(&self, octets: &[u8]) -> bool {
        let _here = self.runtime.enter();
        let device: SocketAddr = ([192, 0, 2, 1], 161).into();
        let stranger: SocketAddr = ([192, 0, 2, 2], 161).into();
        let id = Datagram::read(octets).map_or(7, |datagram| datagram.id());
        let now = Instant::now();
        let mut is_an_answer = false;
        for expects in self.all(device, now) {
            let mut ticket = self.link.enter_as(id, device, expects);
            assert!(
                self.link.receive(stranger, octets, now).is_err(),
                "taken from another address than was asked"
            );
            let taken = self.link.receive(device, octets, now).is_ok();
            let answer = ticket.answer.try_recv();
            assert_eq!(taken, answer.is_ok(), "somebody waits for nothing");
            let answer = match answer {
                Ok(Received::Answer { answer, .. }) => Some(answer),
                Ok(Received::Unread(message)) => {
                    let counters = Counters::default();
                    let read = message.read(&counters);
                    let panicked = counters.snapshot().dropped(Dropped::DecoderPanicked);
                    assert_eq!(panicked, 0, "the decoder panicked");
                    read.ok().map(|(answer, _)| answer)
                }
                _ => None,
            };
            if let Some(answer) = answer {
                assert!(answer.varbinds.len() <= Answer::MAX_VARBINDS);
                is_an_answer = true;
            }
            is_an_answer |= taken;
            drop(ticket);
            assert_eq!(self.link.under_way(), 0);
        }
        is_an_answer
    }

    fn all(&self, device: SocketAddr, now: Instant) -> [Expects; 4] {
        let peer = Arc::new(Peer::new(device, self.link.clone(), 1));
        let stamp = Stamp {
            boots: 3,
            time: 4_000,
        };
        peer.discovered(self.session.engine_id(), stamp, now + Duration::ZERO);
        [
            Expects::Community(Version::V1),
            Expects::Community(Version::V2c),
            Expects::Discovery,
            Expects::Secured(self.session.clone(), peer),
        ]
    }
}

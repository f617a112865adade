//! A pretend agent: real datagrams on loopback, and whatever misbehaviour a test scripts.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use farwatch_shared::oid::Oid;
use tokio::{net::UdpSocket, task::JoinSet, time::sleep};

use crate::snmp::{
    Auth, Target, Value, VarBind,
    ber::{Reader, Writer, tag},
    pdu::{Answer, ErrorStatus, PduKind},
    recording::Recording,
};

/// A request as an agent sees it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) octets: Vec<u8>,
    /// 0, 1 or 3.
    pub(super) version: i64,
    pub(super) kind: u8,
    pub(super) id: i32,
    pub(super) non_repeaters: usize,
    pub(super) max_repetitions: usize,
    pub(super) names: Vec<Oid>,
}

/// What to send back, when, and from where.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) octets: Vec<u8>,
    pub(super) after: Duration,
    /// From a port of the agent's that nobody asked.
    pub(super) from_elsewhere: bool,
}

impl From<Vec<u8>> for Sent {
    fn from(octets: Vec<u8>) -> Self {
        Self {
            octets,
            after: Duration::ZERO,
            from_elsewhere: false,
        }
    }
}

impl Sent {
    pub(super) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(super) fn elsewhere(self) -> Self {
        Self {
            from_elsewhere: true,
            ..self
        }
    }
}

/// Runs until dropped.
pub(super) struct Agent {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

impl Agent {
    pub(super) async fn start(script: impl FnMut(&Asked) -> Vec<Sent> + Send + 'static) -> Self {
        Self::start_on("127.0.0.1", script).await
    }

    pub(super) async fn start_on(
        ip: &str,
        mut script: impl FnMut(&Asked) -> Vec<Sent> + Send + 'static,
    ) -> Self {
        let socket = Arc::new(UdpSocket::bind((ip, 0)).await.unwrap());
        let elsewhere = Arc::new(UdpSocket::bind((ip, 0)).await.unwrap());
        let address = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut replies = JoinSet::new();
            let mut octets = vec![0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut octets).await.unwrap();
                let request = Asked::read(&octets[..length]);
                seen.lock().unwrap().push(request.clone());
                for sent in script(&request) {
                    let socket = Arc::clone(if sent.from_elsewhere {
                        &elsewhere
                    } else {
                        &socket
                    });
                    if sent.after.is_zero() {
                        socket.send_to(&sent.octets, from).await.unwrap();
                    } else {
                        replies.spawn(async move {
                            sleep(sent.after).await;
                            socket.send_to(&sent.octets, from).await.unwrap();
                        });
                    }
                }
            }
        });
        Self {
            address,
            asked,
            _task: task,
        }
    }

    pub(super) fn target(&self) -> Target {
        Target::new(self.address, Auth::v2c("public"))
    }

    pub(super) fn v1(&self) -> Target {
        Target::new(self.address, Auth::v1("public"))
    }

    /// All that it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Asked {
    fn read(octets: &[u8]) -> Self {
        let mut fields = Reader::new(octets).sequence().unwrap();
        let version = fields.integer().unwrap();
        let unread = Self {
            octets: octets.to_vec(),
            version,
            kind: 0,
            id: 0,
            non_repeaters: 0,
            max_repetitions: 0,
            names: Vec::new(),
        };
        if version == 3 {
            return unread;
        }
        assert_eq!(fields.octets().unwrap(), b"public");
        unread.with_pdu(&mut fields)
    }

    pub(super) fn with_pdu(self, pdu: &mut Reader<'_>) -> Self {
        let (kind, content) = pdu.any().unwrap();
        let mut fields = Reader::new(content);
        let mut number = || fields.integer().unwrap();
        let id = i32::try_from(number()).unwrap();
        let (non_repeaters, max_repetitions) = (number(), number());
        let mut list = fields.sequence().unwrap();
        let mut names = Vec::new();
        while !list.is_empty() {
            names.push(list.sequence().unwrap().oid().unwrap());
        }
        Self {
            kind,
            id,
            non_repeaters: non_repeaters.try_into().unwrap(),
            max_repetitions: max_repetitions.try_into().unwrap(),
            names,
            ..self
        }
    }

    /// The right answer of a device with these values.
    pub(super) fn answer(&self, device: &Recording) -> Answer {
        let next = |oid: &Oid| match device.next(oid) {
            Some((next, value)) => VarBind::new(next.clone(), value.clone()),
            None => VarBind::new(oid.clone(), Value::EndOfMibView),
        };
        let exact = |oid: &Oid| {
            let value = device.value(oid).cloned().unwrap_or(Value::NoSuchInstance);
            VarBind::new(oid.clone(), value)
        };
        let varbinds: Vec<VarBind> = match self.kind {
            0xa0 => self.names.iter().map(exact).collect(),
            0xa1 => self.names.iter().map(next).collect(),
            0xa5 => {
                let (once, repeated) = self.names.split_at(self.non_repeaters);
                let mut varbinds: Vec<VarBind> = once.iter().map(next).collect();
                let mut at = repeated.to_vec();
                for _ in 0..self.max_repetitions {
                    let row: Vec<VarBind> = at.iter().map(next).collect();
                    at = row.iter().map(|varbind| varbind.oid.clone()).collect();
                    varbinds.extend(row);
                }
                varbinds
            }
            other => panic!("no question: {other:#x}"),
        };
        let answer = Answer {
            kind: PduKind::Response,
            request_id: self.id,
            error_status: ErrorStatus::NoError,
            error_index: 0,
            varbinds,
        };
        match answer
            .varbinds
            .iter()
            .position(|varbind| varbind.value.is_missing())
        {
            Some(at) if self.version == 0 => self.refusal(ErrorStatus::NoSuchName, at + 1),
            _ => answer,
        }
    }

    /// An answer that is an error.
    pub(super) fn refusal(&self, error_status: ErrorStatus, error_index: usize) -> Answer {
        let varbinds = self
            .names
            .iter()
            .map(|name| VarBind::new(name.clone(), Value::Null))
            .collect();
        Answer {
            kind: PduKind::Response,
            request_id: self.id,
            error_status,
            error_index,
            varbinds,
        }
    }

    /// A message of the version that was asked in.
    pub(super) fn seal(&self, answer: &Answer) -> Vec<u8> {
        let mut writer = Writer::default();
        answer.write(&mut writer);
        writer.octets(b"public");
        writer.integer(self.version);
        writer.wrap(tag::SEQUENCE, 0);
        writer.finish()
    }

    /// The right answer, ready to be sent.
    pub(super) fn reply(&self, device: &Recording) -> Sent {
        self.seal(&self.answer(device)).into()
    }
}

/// A device with a few scalars and a table of `rows` rows in two columns.
pub(super) fn device(rows: u32) -> Recording {
    let mut device = Recording::default();
    device.set(scalar(1), Value::octets("pretend"));
    device.set(scalar(3), Value::TimeTicks(4711));
    for row in 1..=rows {
        device.set(IN.child(row), Value::Counter32(row * 10));
        device.set(OUT.child(row), Value::Counter64(u64::from(row) << 40));
    }
    device.set("1.3.6.1.9.1.0".parse().unwrap(), Value::Integer(9));
    device
}

pub(super) const IN: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 10]);
pub(super) const OUT: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10]);

/// `system.n.0`.
pub(super) fn scalar(n: u32) -> Oid {
    Oid::of(&[1, 3, 6, 1, 2, 1, 1]).child(n).child(0)
}

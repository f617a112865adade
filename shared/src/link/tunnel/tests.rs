use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::id::DeploymentId;
use crate::link::testing::{FROM, Forge, Leaf};
use crate::link::verify::{ServerTrust, TrustedCa};
use crate::link::{
    Alpn, CloseCode, Closed, Connection, DialError, Dialer, Listener, Priority, Route, TcpRoute,
    Transport, Unreached, tls,
};
use crate::wire::message::control::Echo;

const DEADLINE: Duration = Duration::from_secs(10);
const LOOPBACK: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Central with a door, and how to get there.
struct Hall {
    forge: Forge,
    listener: Listener,
    route: Route,
    _door: JoinSet<Result<(), std::convert::Infallible>>,
}

impl Hall {
    fn new() -> Self {
        let forge = Forge::new(DeploymentId::generate());
        let listener =
            Listener::bind(LOOPBACK, forge.central(), forge.authority().anchors).unwrap();
        let door = listener.tcp_door(LOOPBACK, forge.central()).unwrap();
        let route = Route {
            udp: None,
            tcp: Some(TcpRoute {
                host: "127.0.0.1".to_owned(),
                port: door.local_address().unwrap().port(),
                proxy: None,
            }),
            first: Transport::Tcp,
            head_start: Duration::ZERO,
            deadline: DEADLINE,
        };
        let mut doors = JoinSet::new();
        doors.spawn(door.run());
        Self {
            forge,
            listener,
            route,
            _door: doors,
        }
    }

    fn trust(&self) -> ServerTrust {
        ServerTrust {
            ca: TrustedCa::Certificates(vec![self.forge.certificate.clone()]),
            deployment: Some(self.forge.deployment),
            now: FROM,
        }
    }

    async fn dial(&self) -> Result<Connection, Unreached> {
        let own = self.forge.sign(Leaf::of(&self.forge.name()));
        Dialer::new()
            .reach(&self.route, Alpn::Work, Some(own), self.trust())
            .await
    }

    /// Both ends of one connection.
    async fn pair(&self) -> (Connection, Connection) {
        let shake = async { self.listener.accept().await.unwrap().shake().await };
        let (probe, central) = tokio::join!(self.dial(), shake);
        (probe.unwrap(), central.unwrap().connection)
    }

    async fn knock(&self) -> TcpStream {
        let port = self.route.tcp.as_ref().unwrap().port;
        TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_crosses_whole_both_ways_at_once() {
    let hall = Hall::new();
    let (probe, central) = hall.pair().await;
    const ECHOES: u8 = 200;
    let message = |round: u8| Echo {
        id: [round; 16],
        payload: vec![round; 60_000],
    };
    let push = async |link: &Connection| {
        let (mut send, _held) = link.open(Priority::Live).await.unwrap();
        for round in 0..ECHOES {
            send.send(&message(round)).await.unwrap();
        }
        send.finish();
        send.delivered().await;
    };
    let read = async |link: &Connection| {
        let (_send, mut receive) = link.accept().await.unwrap();
        for round in 0..ECHOES {
            let came: Echo = receive.expect().await.unwrap();
            assert!(came == message(round), "{round}");
        }
    };
    tokio::join!(push(&probe), push(&central), read(&central), read(&probe));
    assert!(central.close_reason().is_none());
}

#[tokio::test]
async fn why_a_connection_was_closed_arrives_through_the_tunnel() {
    let hall = Hall::new();
    let (probe, central) = hall.pair().await;
    central.close(CloseCode::Revoked, "a person revoked it");
    let Closed::ByPeer { code, reason } = probe.closed().await else {
        panic!("{:?}", probe.close_reason());
    };
    assert_eq!(
        (code, reason.as_str()),
        (CloseCode::Revoked, "a person revoked it")
    );
}

#[tokio::test]
async fn a_tcp_connection_that_ends_is_said_at_once() {
    let hall = Hall::new();
    let relay = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let port = relay.local_addr().unwrap().port();
    let mut near = hall.route.clone();
    near.tcp.as_mut().unwrap().port = port;
    let own = hall.forge.sign(Leaf::of(&hall.forge.name()));
    let mut dialer = Dialer::new();
    let dial = dialer.reach(&near, Alpn::Work, Some(own), hall.trust());
    let mut cable = JoinSet::new();
    let join = async {
        let (mut probe, _) = relay.accept().await.unwrap();
        let mut central = hall.knock().await;
        cable.spawn(async move {
            drop(tokio::io::copy_bidirectional(&mut probe, &mut central).await);
        });
        hall.listener.accept().await.unwrap().shake().await
    };
    let (probe, central) = tokio::join!(dial, join);
    let (probe, _central) = (probe.unwrap(), central.unwrap());
    cable.abort_all();
    let closed = timeout(DEADLINE, probe.closed()).await.unwrap();
    assert!(
        matches!(&closed, Closed::Broken(why) if why.contains("TCP connection to 127.0.0.1")),
        "{closed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_something_else_or_nothing_is_sent_away_and_probes_still_get_in() {
    let hall = Hall::new();
    // A scanner.
    let mut scanner = hall.knock().await;
    scanner
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let ended = timeout(DEADLINE, scanner.read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && !answer.starts_with(b"HTTP"), "{answer:?}");
    // TLS as it should be, and then no packets.
    let config = tls::client(None, hall.trust(), ALPN).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    for garbage in [&b"\0\0"[..], b"\xff\xff and more", b"\x00\x05hello"] {
        let name = "localhost".try_into().unwrap();
        let mut stranger = connector.connect(name, hall.knock().await).await.unwrap();
        stranger.write_all(garbage).await.unwrap();
        stranger.flush().await.unwrap();
        if garbage[0] != 0 || garbage[1] == 0 {
            let ended = timeout(DEADLINE, stranger.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "{garbage:?}: it is not sent away");
        }
    }
    // Idle ones, up to what one address may have: whoever comes after them is closed at once.
    let mut idle = Vec::new();
    loop {
        let mut one = hall.knock().await;
        match timeout(Duration::from_millis(100), one.read_u8()).await {
            Err(_) => idle.push(one),
            Ok(_) => break,
        }
        assert!(idle.len() <= 64, "there is no end to them");
    }
    assert!(idle.len() > 30, "{} strangers", idle.len());
    drop(idle);
    let (probe, central) = hall.pair().await;
    assert_eq!(probe.transport(), Transport::Tcp);
    assert!(central.close_reason().is_none());
}

#[tokio::test]
async fn another_central_behind_the_door_is_not_believed() {
    let (hall, other) = (Hall::new(), Hall::new());
    let own = hall.forge.sign(Leaf::of(&hall.forge.name()));
    let reached = Dialer::new()
        .reach(&other.route, Alpn::Work, Some(own), hall.trust())
        .await;
    let error = reached.unwrap_err();
    assert!(
        matches!(error.tcp, Some(DialError::Handshake(Closed::Tls(_)))) && error.udp.is_none(),
        "{error:?}"
    );
}

/// The order and the head start: TCP waits for UDP while it may, and goes at once when UDP fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_way_is_begun_when_the_first_stays_silent() {
    let hall = Hall::new();
    // It takes everything and answers nothing.
    let hole = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    for (first, udp, expected) in [
        (Transport::Udp, hole.local_addr().unwrap(), Transport::Tcp),
        (
            Transport::Udp,
            hall.listener.local_address().unwrap(),
            Transport::Udp,
        ),
        (
            Transport::Tcp,
            hall.listener.local_address().unwrap(),
            Transport::Tcp,
        ),
    ] {
        let route = Route {
            udp: Some(udp),
            first,
            head_start: Duration::from_millis(500),
            ..hall.route.clone()
        };
        let own = hall.forge.sign(Leaf::of(&hall.forge.name()));
        let mut dialer = Dialer::new();
        let dial = dialer.reach(&route, Alpn::Work, Some(own), hall.trust());
        let shake = async { hall.listener.accept().await.unwrap().shake().await };
        let (reached, _shaken) = tokio::join!(dial, shake);
        assert_eq!(reached.unwrap().transport(), expected, "{route:?}");
    }
}

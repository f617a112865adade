//! ALPN × certificate × time × revocation, once by hand and once through real QUIC.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use super::*;
use crate::link::endpoint::{Credentials, DialError, Dialer, Listener, Route};
use crate::link::testing::{FROM, Forge, Leaf, UNTIL, row, self_signed};
use crate::link::verify::{ServerTrust, TrustedCa};
use crate::link::{Closed, Priority, TcpRoute, Transport};

/// What may be the matter with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    Good,
    OtherCa,
    OtherCaSameName,
    SelfSigned,
    NoUsage,
    ServerUsage,
    AnyUsage,
    ACa,
    SignedByALeaf,
    NoName,
    TwoNames,
    DnsNameToo,
    OtherDeployment,
    CentralsName,
    OtherCustomerInRow,
    OtherSiteInRow,
    NoRow,
    OtherKeyInRow,
}

const KINDS: &[Kind] = &[
    Kind::None,
    Kind::Good,
    Kind::OtherCa,
    Kind::OtherCaSameName,
    Kind::SelfSigned,
    Kind::NoUsage,
    Kind::ServerUsage,
    Kind::AnyUsage,
    Kind::ACa,
    Kind::SignedByALeaf,
    Kind::NoName,
    Kind::TwoNames,
    Kind::DnsNameToo,
    Kind::OtherDeployment,
    Kind::CentralsName,
    Kind::OtherCustomerInRow,
    Kind::OtherSiteInRow,
    Kind::NoRow,
    Kind::OtherKeyInRow,
];

/// When it is shown.
const TIMES: &[(&str, Timestamp)] = &[
    ("a year early", Timestamp(FROM.0 - 365 * 86_400_000)),
    ("a second early", Timestamp(FROM.0 - 1_000)),
    ("first moment", FROM),
    ("half life", Timestamp((FROM.0 + UNTIL.0) / 2)),
    ("last moment", UNTIL),
    ("a second late", Timestamp(UNTIL.0 + 1_000)),
    ("90 days late", Timestamp(UNTIL.0 + RENEW_GRACE_MS)),
    (
        "90 days and a second late",
        Timestamp(UNTIL.0 + RENEW_GRACE_MS + 1_000),
    ),
    ("years late", Timestamp(UNTIL.0 + 10 * RENEW_GRACE_MS)),
];

struct Case {
    kind: Kind,
    own: Option<Credentials>,
    row: Option<Enrolled>,
}

fn case(kind: Kind, forge: &Forge) -> Case {
    let name = forge.name();
    let mut leaf = Leaf::of(&name);
    let mut other_row = None;
    let own = match kind {
        Kind::None => None,
        Kind::OtherCa => Some(Forge::new(DeploymentId::generate()).sign(leaf)),
        Kind::OtherCaSameName => Some(Forge::new(forge.deployment).sign(leaf)),
        Kind::SelfSigned => Some(self_signed(leaf)),
        Kind::NoUsage => {
            leaf.usage.clear();
            Some(forge.sign(leaf))
        }
        Kind::ServerUsage => {
            leaf.usage = vec![ExtendedKeyUsagePurpose::ServerAuth];
            Some(forge.sign(leaf))
        }
        Kind::AnyUsage => {
            leaf.usage = vec![ExtendedKeyUsagePurpose::Any];
            Some(forge.sign(leaf))
        }
        Kind::ACa => {
            leaf.is_ca = true;
            Some(forge.sign(leaf))
        }
        Kind::SignedByALeaf => Some(forge.sign_by_leaf(Leaf::of(&forge.name()), leaf)),
        Kind::NoName => {
            leaf.names.clear();
            Some(forge.sign(leaf))
        }
        Kind::TwoNames => {
            leaf.names.extend(Leaf::of(&forge.name()).names);
            Some(forge.sign(leaf))
        }
        Kind::DnsNameToo => {
            leaf.names
                .push(SanType::DnsName("example.net".try_into().unwrap()));
            Some(forge.sign(leaf))
        }
        Kind::OtherDeployment => {
            let foreign = ProbeName {
                deployment: DeploymentId::generate(),
                ..name
            };
            Some(forge.sign(Leaf::of(&foreign)))
        }
        Kind::CentralsName => {
            let central = crate::link::name::central_uri(forge.deployment);
            Some(forge.sign(Leaf::named(&central)))
        }
        Kind::Good
        | Kind::OtherCustomerInRow
        | Kind::OtherSiteInRow
        | Kind::NoRow
        | Kind::OtherKeyInRow => Some(forge.sign(leaf)),
    };
    if let Some(own) = &own {
        let mut row = row(&name, own);
        match kind {
            Kind::OtherCustomerInRow => row.customer = CustomerId::generate(),
            Kind::OtherSiteInRow => row.site = SiteId::generate(),
            Kind::OtherKeyInRow => row.key_hash = [1; 32],
            _ => {}
        }
        other_row = (kind != Kind::NoRow).then_some(row);
    }
    Case {
        kind,
        own,
        row: other_row,
    }
}

/// Whether TLS itself has to say no.
const fn refused_by_tls(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OtherCa
            | Kind::OtherCaSameName
            | Kind::SelfSigned
            | Kind::NoUsage
            | Kind::ServerUsage
            | Kind::AnyUsage
            | Kind::ACa
            | Kind::SignedByALeaf
    )
}

/// The table, written down a second time: who may do what.
fn expected(alpn: Alpn, kind: Kind, at: Timestamp, revoked: bool) -> &'static str {
    match (alpn, kind) {
        (Alpn::Join, Kind::None) => return "joining",
        (Alpn::Join, _) | (_, Kind::None) => return "refused",
        _ => {}
    }
    if kind != Kind::Good || revoked || at < FROM {
        return "refused";
    }
    match alpn {
        Alpn::Work if at <= UNTIL => "probe",
        Alpn::Renew if at.0 <= UNTIL.0 + 90 * 86_400_000 => "renewing",
        _ => "refused",
    }
}

fn word(decided: &Result<Peer, Refusal>) -> &'static str {
    match decided {
        Ok(Peer::Probe(_)) => "probe",
        Ok(Peer::Renewing(_)) => "renewing",
        Ok(Peer::Joining) => "joining",
        Err(_) => "refused",
    }
}

/// Every time and both states of the row, for one chain and one ALPN.
fn decide_all(forge: &Forge, alpn: Alpn, case: &Case, chain: &[CertificateDer<'_>]) -> usize {
    let mut decided = 0;
    for (when, at) in TIMES {
        for revoked in [false, true] {
            let row = case.row.map(|row| Enrolled { revoked, ..row });
            let answer = accept(alpn.as_bytes(), chain, *at, &forge.authority(), |_| row);
            assert_eq!(
                word(&answer),
                expected(alpn, case.kind, *at, revoked),
                "{alpn} {:?} {when} revoked={revoked}: {answer:?}",
                case.kind
            );
            decided += 1;
        }
    }
    decided
}

#[test]
fn the_whole_matrix_is_decided_as_written_down() {
    let forge = Forge::new(DeploymentId::generate());
    let mut decided = 0;
    for kind in KINDS {
        let case = case(*kind, &forge);
        let chain = case.own.as_ref().map_or(&[][..], |own| &own.chain[..]);
        for alpn in Alpn::ALL {
            decided += decide_all(&forge, alpn, &case, chain);
        }
        for foreign in [&b"h3"[..], b"", b"farwatch/2", b"farwatch/1 "] {
            let answer = accept(foreign, chain, FROM, &forge.authority(), |_| case.row);
            assert_eq!(answer.unwrap_err(), Refusal::Protocol);
        }
    }
    assert_eq!(decided, KINDS.len() * 3 * TIMES.len() * 2);
}

#[test]
fn an_identity_says_what_its_certificate_says() {
    let forge = Forge::new(DeploymentId::generate());
    let name = forge.name();
    let own = forge.sign(Leaf::of(&name));
    let answer = accept(
        b"farwatch/1",
        &own.chain,
        FROM,
        &forge.authority(),
        |probe| {
            assert_eq!(
                probe, name.probe,
                "the row of the certificate's probe is read"
            );
            Some(row(&name, &own))
        },
    );
    let Ok(Peer::Probe(identity)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (
            identity.customer(),
            identity.site(),
            identity.probe(),
            identity.not_after()
        ),
        (name.customer, name.site, name.probe, UNTIL)
    );
    assert_eq!(identity.renewing().name(), name);
}

#[test]
fn a_refusal_says_why() {
    let forge = Forge::new(DeploymentId::generate());
    let say = |kind, alpn: Alpn, at, revoked| {
        let case = case(kind, &forge);
        let chain = case.own.as_ref().map_or(&[][..], |own| &own.chain[..]);
        let row = case.row.map(|row| Enrolled { revoked, ..row });
        accept(alpn.as_bytes(), chain, at, &forge.authority(), |_| row).unwrap_err()
    };
    assert_eq!(
        say(Kind::None, Alpn::Work, FROM, false),
        Refusal::NoCertificate
    );
    assert_eq!(
        say(Kind::Good, Alpn::Join, FROM, false),
        Refusal::AlreadyJoined
    );
    assert_eq!(
        say(Kind::Good, Alpn::Work, TIMES[1].1, false),
        Refusal::NotYetValid
    );
    assert_eq!(
        say(Kind::Good, Alpn::Work, TIMES[5].1, false),
        Refusal::Expired
    );
    assert_eq!(
        say(Kind::Good, Alpn::Renew, TIMES[7].1, false),
        Refusal::TooOld
    );
    assert_eq!(say(Kind::Good, Alpn::Renew, FROM, true), Refusal::Revoked);
    assert_eq!(
        say(Kind::OtherCa, Alpn::Work, FROM, false),
        Refusal::Foreign
    );
    assert_eq!(say(Kind::TwoNames, Alpn::Work, FROM, false), Refusal::Name);
    assert_eq!(
        say(Kind::OtherKeyInRow, Alpn::Renew, FROM, false),
        Refusal::WrongKey
    );
    assert_eq!(say(Kind::NoRow, Alpn::Work, FROM, false), Refusal::Unknown);
    assert_eq!(
        say(Kind::SignedByALeaf, Alpn::Work, FROM, false),
        Refusal::Malformed
    );
}

fn trust(forge: &Forge) -> ServerTrust {
    ServerTrust {
        ca: TrustedCa::Certificates(vec![forge.certificate.clone()]),
        deployment: Some(forge.deployment),
        now: FROM,
    }
}

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_whole_matrix_holds_through_real_quic() {
    the_whole_matrix_holds_over(Transport::Udp).await;
}

#[tokio::test]
async fn the_whole_matrix_holds_through_tls_over_tcp() {
    the_whole_matrix_holds_over(Transport::Tcp).await;
}

async fn the_whole_matrix_holds_over(transport: Transport) {
    let forge = Forge::new(DeploymentId::generate());
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        forge.central(),
        forge.authority().anchors,
    )
    .unwrap();
    let door = listener
        .tcp_door(([127, 0, 0, 1], 0).into(), forge.central())
        .unwrap();
    let (udp, tcp) = (
        listener.local_address().unwrap(),
        door.local_address().unwrap(),
    );
    let mut doors = tokio::task::JoinSet::new();
    doors.spawn(door.run());
    let route = Route {
        udp: (transport == Transport::Udp).then_some(udp),
        tcp: (transport == Transport::Tcp).then(|| TcpRoute {
            host: "127.0.0.1".to_owned(),
            port: tcp.port(),
            proxy: None,
        }),
        first: transport,
        head_start: DEADLINE,
        deadline: DEADLINE,
    };
    let mut dialer = Dialer::new();
    let mut decided = 0;
    for kind in KINDS {
        let case = case(*kind, &forge);
        for alpn in Alpn::ALL {
            let dial = dialer.reach(&route, alpn, case.own.clone(), trust(&forge));
            let shake = async { listener.accept().await.unwrap().shake().await };
            let (dialled, shaken) = tokio::join!(dial, shake);
            if refused_by_tls(*kind) {
                let refused = shaken.expect_err("TLS has to refuse");
                assert!(matches!(refused, Closed::Tls(_)), "{kind:?}: {refused:?}");
                // The dialler may have believed in a connection: what counts is that nothing gets through.
                if let Ok(connection) = dialled {
                    assert!(
                        matches!(connection.closed().await, Closed::Tls(_)),
                        "{kind:?}"
                    );
                }
                decided += 1;
                continue;
            }
            let shaken = shaken.unwrap();
            let shown = case.own.as_ref().map_or(0, |own| own.chain.len());
            assert_eq!(
                shaken.chain.len(),
                shown,
                "{kind:?}: TLS hands over what was shown"
            );
            assert_eq!(shaken.alpn, alpn.as_bytes());
            let dialled = dialled.unwrap();
            for connection in [&shaken.connection, &dialled] {
                assert_eq!(connection.transport(), transport);
                assert!(connection.remote_address().ip().is_loopback());
            }
            decided += decide_all(&forge, alpn, &case, &shaken.chain);
            shaken.connection.close(CloseCode::Done, "");
        }
    }
    assert!(decided > 500, "{decided} decisions");
}

#[tokio::test]
async fn another_protocol_gets_no_handshake_and_another_central_no_probe() {
    let forge = Forge::new(DeploymentId::generate());
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        forge.central(),
        forge.authority().anchors,
    )
    .unwrap();
    let address = listener.local_address().unwrap();
    let other = Forge::new(forge.deployment);
    let mut dialer = Dialer::new();
    let by_hash = |hash| ServerTrust {
        ca: TrustedCa::KeyHash(hash),
        deployment: None,
        now: FROM,
    };
    for (trust, good) in [
        (trust(&forge), true),
        (by_hash(forge.ca_key_hash()), true),
        (trust(&other), false),
        (by_hash(other.ca_key_hash()), false),
        (
            ServerTrust {
                deployment: Some(DeploymentId::generate()),
                ..trust(&forge)
            },
            false,
        ),
        (
            ServerTrust {
                now: TIMES[1].1,
                ..trust(&forge)
            },
            false,
        ),
        (
            ServerTrust {
                now: TIMES[5].1,
                ..trust(&forge)
            },
            false,
        ),
    ] {
        let shown = format!("{trust:?}");
        let dial = dialer.connect(address, Alpn::Join, None, trust, DEADLINE);
        let shake = async { listener.accept().await.unwrap().shake().await };
        let (dialled, _) = tokio::join!(dial, shake);
        match dialled {
            Ok(_) => assert!(good, "{shown}"),
            Err(DialError::Handshake(Closed::Tls(_))) => assert!(!good, "{shown}"),
            Err(other) => panic!("{shown}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_probes_certificate_does_not_make_a_central() {
    let forge = Forge::new(DeploymentId::generate());
    let impostor = forge.sign(Leaf::of(&forge.name()));
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        impostor,
        forge.authority().anchors,
    )
    .unwrap();
    let mut dialer = Dialer::new();
    let dial = dialer.connect(
        listener.local_address().unwrap(),
        Alpn::Join,
        None,
        trust(&forge),
        DEADLINE,
    );
    let shake = async { listener.accept().await.unwrap().shake().await };
    let (dialled, _) = tokio::join!(dial, shake);
    assert!(
        matches!(dialled, Err(DialError::Handshake(Closed::Tls(_)))),
        "{dialled:?}"
    );
}

#[tokio::test]
async fn frames_cross_whole_and_a_lying_length_ends_only_its_stream() {
    use crate::wire::codec::{FRAME_LIMIT, HEADER, Header};
    use crate::wire::message::control::Echo;

    let forge = Forge::new(DeploymentId::generate());
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        forge.central(),
        forge.authority().anchors,
    )
    .unwrap();
    let mut dialer = Dialer::new();
    let dial = dialer.connect(
        listener.local_address().unwrap(),
        Alpn::Join,
        None,
        trust(&forge),
        DEADLINE,
    );
    let shake = async { listener.accept().await.unwrap().shake().await };
    let (probe, central) = tokio::join!(dial, shake);
    let (probe, central) = (probe.unwrap(), central.unwrap().connection);

    let echo = Echo {
        id: [5; 16],
        payload: vec![1; 60_000],
    };
    let (mut send, _held) = probe.open(Priority::Events).await.unwrap();
    let pushing = async {
        for _ in 0..20 {
            send.send(&echo).await.unwrap();
        }
        send.finish();
    };
    let reading = async {
        let (_send, mut receive) = central.accept().await.unwrap();
        let mut seen = 0;
        // A reader that is dropped half way, again and again, loses nothing.
        loop {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                frame = receive.next() => match frame.unwrap() {
                    Some(frame) => {
                        assert_eq!(frame.decode::<Echo>().unwrap(), echo);
                        seen += 1;
                    }
                    None => break seen,
                },
            }
        }
    };
    let ((), seen) = tokio::join!(pushing, reading);
    assert_eq!(seen, 20);

    let (mut liar, _held) = probe.open(Priority::Events).await.unwrap();
    liar.queue_payload(1, 1, &vec![0; FRAME_LIMIT + 1]);
    let (flushed, read) = tokio::join!(liar.flush(), async {
        let (_send, mut receive) = central.accept().await.unwrap();
        receive.next().await
    });
    let _ = flushed;
    assert!(matches!(
        read,
        Err(crate::link::ReadError::Frame(
            crate::wire::DecodeError::TooLong { .. }
        ))
    ));
    assert!(Header::parse([0xff; HEADER], FRAME_LIMIT).is_err());
    assert!(central.close_reason().is_none(), "the connection goes on");
}

#[tokio::test]
async fn who_is_sent_back_first_shows_its_address_and_then_gets_in() {
    let forge = Forge::new(DeploymentId::generate());
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        forge.central(),
        forge.authority().anchors,
    )
    .unwrap();
    let mut dialer = Dialer::new();
    let dial = dialer.connect(
        listener.local_address().unwrap(),
        Alpn::Join,
        None,
        trust(&forge),
        DEADLINE,
    );
    let shake = async {
        let first = listener.accept().await.unwrap();
        assert!(!first.is_address_proved());
        first.retry();
        let second = listener.accept().await.unwrap();
        assert!(second.is_address_proved());
        second.shake().await
    };
    let (dialled, shaken) = tokio::join!(dial, shake);
    assert!(dialled.is_ok() && shaken.is_ok());
}

#[tokio::test]
async fn a_session_goes_on_when_the_address_changes() {
    use crate::wire::message::control::Echo;

    let forge = Forge::new(DeploymentId::generate());
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        forge.central(),
        forge.authority().anchors,
    )
    .unwrap();
    let mut dialer = Dialer::new();
    let dial = dialer.connect(
        listener.local_address().unwrap(),
        Alpn::Join,
        None,
        trust(&forge),
        DEADLINE,
    );
    let shake = async { listener.accept().await.unwrap().shake().await };
    let (probe, central) = tokio::join!(dial, shake);
    let (probe, central) = (probe.unwrap(), central.unwrap().connection);
    let before = central.remote_address();
    let (mut send, _held) = probe.open(Priority::Events).await.unwrap();
    let mut receive = None;
    for round in 0..20_u8 {
        dialer.rebind().unwrap();
        send.send(&Echo {
            id: [round; 16],
            payload: Vec::new(),
        })
        .await
        .unwrap();
        let stream = match &mut receive {
            Some(stream) => stream,
            none => none.insert(central.accept().await.unwrap().1),
        };
        let came = tokio::time::timeout(DEADLINE, stream.expect::<Echo>()).await;
        assert_eq!(came.unwrap().unwrap().id, [round; 16]);
    }
    assert_ne!(central.remote_address(), before);
    assert!(listener.connections() == 1, "no new handshake");
}

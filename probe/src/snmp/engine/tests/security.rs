//! SNMPv3 against an engine of the test's own, honest and otherwise.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    Engine,
    agent::{Agent, Asked, Sent, device, scalar},
    engine, limits,
};
use crate::snmp::{
    Auth, AuthProtocol, Dropped, GetError, Limits, PrivProtocol, Reason, Target, V3User, Value,
    VarBind,
    ber::{Reader, Writer, tag},
    pdu::{Answer, ErrorStatus, PduKind},
    v3::{
        clock::Stamp,
        message::{Message, flag},
        session::Session,
    },
};

const ENGINE_ID: &[u8] = b"\x80\x00\x1f\x88\x04pretend";

fn user() -> V3User {
    V3User::auth_priv(
        "monitor",
        (AuthProtocol::Sha256, "auth-password"),
        (PrivProtocol::Aes128, "priv-password"),
    )
    .unwrap()
}

fn signer() -> V3User {
    V3User::auth("monitor", AuthProtocol::Sha256, "auth-password").unwrap()
}

/// The device's side of SNMPv3.
struct Authority {
    session: Session,
    engine_id: Vec<u8>,
    stamp: Stamp,
}

impl Authority {
    fn new(user: &V3User, boots: u32, time: u32) -> Self {
        let session = Session::derive(user, ENGINE_ID);
        Self {
            session,
            engine_id: ENGINE_ID.to_vec(),
            stamp: Stamp { boots, time },
        }
    }

    /// A report, authenticated or not.
    fn report(&self, msg_id: i32, counter: u32, authenticated: bool) -> Vec<u8> {
        let oid = format!("1.3.6.1.6.3.15.1.1.{counter}.0").parse().unwrap();
        let answer = Answer {
            kind: PduKind::Report,
            request_id: 0,
            error_status: ErrorStatus::NoError,
            error_index: 0,
            varbinds: vec![VarBind::new(oid, Value::Counter32(1))],
        };
        self.message(msg_id, &answer, if authenticated { flag::AUTH } else { 0 })
    }

    /// A message in the clear, signed when `flags` say so.
    fn message(&self, msg_id: i32, answer: &Answer, flags: u8) -> Vec<u8> {
        let mut writer = Writer::default();
        answer.write(&mut writer);
        writer.octets(b"");
        writer.octets(&self.engine_id);
        writer.wrap(tag::SEQUENCE, 0);
        self.session
            .seal_as(msg_id, flags, self.stamp, &writer.finish())
    }
}

/// Hands each request to `script`, as the message it is; answers discoveries by itself.
async fn v3_agent(
    authority: Arc<Mutex<Authority>>,
    mut script: impl FnMut(&Authority, &Message<'_>, &Asked) -> Vec<Sent> + Send + 'static,
) -> Agent {
    Agent::start(move |asked| {
        let mut fields = Reader::new(&asked.octets).sequence().unwrap();
        assert_eq!(
            fields.integer().unwrap(),
            3,
            "a v3 target is asked in nothing but v3"
        );
        let message = Message::read(&asked.octets, fields).unwrap();
        let authority = authority.lock().unwrap();
        if message.engine_id.is_empty() {
            return vec![authority.report(message.msg_id, 4, false).into()];
        }
        script(&authority, &message, asked)
    })
    .await
}

/// The honest answer to an authNoPriv request.
fn answer(authority: &Authority, message: &Message<'_>, asked: &Asked) -> Sent {
    let mut data = message.data.clone();
    let mut scoped = data.sequence().unwrap();
    scoped.octets().unwrap();
    scoped.octets().unwrap();
    let asked = asked.clone().with_pdu(&mut scoped);
    authority
        .message(message.msg_id, &asked.answer(&device(3)), flag::AUTH)
        .into()
}

fn target(agent: &Agent, user: &V3User) -> Target {
    Target::new(agent.address, Auth::V3(user.clone()))
}

async fn get(engine: &Engine, target: &Target) -> Result<Vec<VarBind>, GetError> {
    engine.get(target, &[scalar(1)], limits()).await
}

fn reason(outcome: Result<Vec<VarBind>, GetError>) -> Reason {
    match outcome.unwrap_err() {
        GetError::Security { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_engine_that_lost_its_boots_is_followed_back() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let agent = v3_agent(Arc::clone(&authority), |authority, message, asked| {
        let off = message.stamp.time.abs_diff(authority.stamp.time);
        if message.stamp.boots == authority.stamp.boots && off <= 150 {
            vec![answer(authority, message, asked)]
        } else {
            vec![authority.report(message.msg_id, 2, true).into()]
        }
    })
    .await;
    let (engine, target) = (engine(), target(&agent, &user));
    get(&engine, &target).await.unwrap();
    authority.lock().unwrap().stamp = Stamp { boots: 1, time: 3 };
    get(&engine, &target).await.unwrap();
    get(&engine, &target).await.unwrap();
    assert_eq!(
        agent.asked().len(),
        1 + 1 + 2 + 1,
        "discovery, get, refused and repeated, get"
    );
    assert_eq!(engine.stats().resynchronized_total, 1);
}

#[tokio::test]
async fn an_engine_that_is_never_in_time_is_asked_twice_and_no_more() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let agent = v3_agent(authority, |authority, message, _| {
        vec![authority.report(message.msg_id, 2, true).into()]
    })
    .await;
    assert_eq!(
        reason(get(&engine(), &target(&agent, &user)).await),
        Reason::NotInTimeWindow
    );
    assert_eq!(agent.asked().len(), 3);
}

#[tokio::test]
async fn an_unauthenticated_report_never_moves_the_clock() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let mut requests = 0;
    let agent = v3_agent(authority, move |authority, message, asked| {
        requests += 1;
        assert_eq!(message.stamp.boots, 7, "request {requests}");
        if requests == 2 {
            // the attack that made snmp2 unusable: boots at the end of their range
            let forged = Stamp {
                boots: (1 << 31) - 1,
                time: (1 << 31) - 1,
            };
            let forged = Authority {
                session: Session::derive(&signer(), ENGINE_ID),
                engine_id: ENGINE_ID.to_vec(),
                stamp: forged,
            };
            return vec![forged.report(message.msg_id, 2, false).into()];
        }
        vec![answer(authority, message, asked)]
    })
    .await;
    let (engine, target) = (engine(), target(&agent, &user));
    for _ in 0..3 {
        get(&engine, &target).await.unwrap();
    }
    assert_eq!(engine.stats().resynchronized_total, 0);
    assert_eq!(
        engine.stats().discoveries_total,
        2,
        "it was only taken as a hint to ask again"
    );
}

#[tokio::test]
async fn what_is_not_proven_to_be_an_answer_is_none() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let mut honest_once = true;
    let agent = v3_agent(authority, move |authority, message, asked| {
        if std::mem::take(&mut honest_once) {
            return vec![answer(authority, message, asked)]; // from here on our clock is proven
        }
        let Sent { octets: honest, .. } = answer(authority, message, asked);
        let mut tampered = honest.clone();
        *tampered.last_mut().unwrap() ^= 1;
        let scoped = |octets: &[u8]| {
            let mut fields = Reader::new(octets).sequence().unwrap();
            fields.integer().unwrap();
            let mut data = Message::read(octets, fields).unwrap().data;
            let (tag, content) = data.any().unwrap();
            let mut writer = Writer::default();
            writer.tlv(tag, content);
            writer.finish()
        };
        let unsigned =
            authority
                .session
                .seal_as(message.msg_id, 0, authority.stamp, &scoped(&honest));
        let old = Stamp {
            boots: 6,
            ..authority.stamp
        };
        let old = authority
            .session
            .seal_as(message.msg_id, flag::AUTH, old, &scoped(&honest));
        let other = V3User::auth("somebody", AuthProtocol::Sha256, "auth-password").unwrap();
        let other = Session::derive(&other, ENGINE_ID);
        let other = other.seal_as(
            message.msg_id,
            flag::AUTH,
            authority.stamp,
            &scoped(&honest),
        );
        let stranger = Session::derive(&signer(), b"another engine");
        let stranger = stranger.seal_as(
            message.msg_id,
            flag::AUTH,
            authority.stamp,
            &scoped(&honest),
        );
        let last = Sent::from(honest).after(Duration::from_millis(30));
        let mut sent: Vec<Sent> = [tampered, unsigned, old, other, stranger]
            .into_iter()
            .map(Sent::from)
            .collect();
        sent.push(last);
        sent
    })
    .await;
    let (engine, target) = (engine(), target(&agent, &user));
    for _ in 0..2 {
        get(&engine, &target).await.unwrap();
    }
    let stats = engine.stats();
    assert_eq!(stats.dropped(Dropped::WrongDigest), 1);
    assert_eq!(stats.dropped(Dropped::WrongLevel), 1);
    assert_eq!(stats.dropped(Dropped::OutsideTimeWindow), 1);
    assert_eq!(stats.dropped(Dropped::WrongEngineOrUser), 2);
    assert_eq!((stats.accepted_total, stats.sent_total), (3, 3));
}

#[tokio::test]
async fn an_answer_in_the_clear_to_an_encrypted_question_is_none() {
    let user = user();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let agent = v3_agent(authority, |authority, message, _| {
        assert_eq!(message.flags, flag::AUTH | flag::PRIV | flag::REPORTABLE);
        let answer = Answer {
            kind: PduKind::Response,
            request_id: message.msg_id,
            error_status: ErrorStatus::NoError,
            error_index: 0,
            varbinds: vec![VarBind::new(scalar(1), Value::octets("in the clear"))],
        };
        vec![
            authority
                .message(message.msg_id, &answer, flag::AUTH)
                .into(),
        ]
    })
    .await;
    let engine = engine();
    let once = Limits::once(Duration::from_millis(200));
    assert!(
        engine
            .get(&target(&agent, &user), &[scalar(1)], once)
            .await
            .unwrap_err()
            .is_silence()
    );
    assert_eq!(engine.stats().dropped(Dropped::WrongLevel), 1);
}

#[tokio::test]
async fn a_silent_v3_device_never_gets_to_see_a_community() {
    let agent = Agent::start(|asked| {
        assert_eq!(asked.version, 3);
        Vec::new()
    })
    .await;
    let engine = engine();
    assert!(
        get(&engine, &target(&agent, &user()))
            .await
            .unwrap_err()
            .is_silence()
    );
    assert_eq!(agent.asked().len(), 3);
    assert_eq!(engine.stats().devices, 0);
}

#[tokio::test]
async fn contexts_share_the_keys_and_are_each_asked_for() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let contexts = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&contexts);
    let agent = v3_agent(authority, move |authority, message, asked| {
        let mut scoped = message.data.clone().sequence().unwrap();
        scoped.octets().unwrap();
        seen.lock()
            .unwrap()
            .push(String::from_utf8(scoped.octets().unwrap().to_vec()).unwrap());
        vec![answer(authority, message, asked)]
    })
    .await;
    let engine = engine();
    let vlans = ["", "vlan-1", "vlan-2", "vlan-3", "vlan-4", "vlan-5"];
    for vlan in vlans {
        get(&engine, &target(&agent, &user.in_context(vlan)))
            .await
            .unwrap();
    }
    assert_eq!(*contexts.lock().unwrap(), vlans);
    assert_eq!(engine.stats().discoveries_total, 1);
}

#[tokio::test]
async fn many_calls_at_once_share_one_discovery() {
    let user = signer();
    let authority = Arc::new(Mutex::new(Authority::new(&user, 7, 90_000)));
    let agent = v3_agent(authority, |authority, message, asked| {
        vec![answer(authority, message, asked)]
    })
    .await;
    let (engine, target) = (engine(), target(&agent, &user));
    let gets = (0..20).map(|_| get(&engine, &target));
    assert!(
        futures::future::join_all(gets)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(engine.stats().discoveries_total, 1);
}

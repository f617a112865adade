//! Tokens, renewals and revocations against the real door and a real database.

use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::link::{Peer, Refusal};
use farwatch_shared::wire::message::enroll::RenewRequest;
use futures::future::join_all;
use rcgen::KeyPair;

use super::testing::{Bench, HERE, csr, request};
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn renewing(peer: Result<Peer, Refusal>) -> RenewingKey {
    match peer {
        Ok(Peer::Renewing(key)) => key,
        Ok(Peer::Probe(identity)) => identity.renewing(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_makes_one_probe_of_its_own_site_whatever_the_request_says() {
    let bench = Bench::new().await;
    let (_, answer) = bench.join().await;
    let Ok(Peer::Probe(identity)) = bench.knock(b"farwatch/1", &answer.certificate) else {
        panic!("the new certificate opens no session");
    };
    assert_eq!(
        (identity.customer(), identity.site()),
        (bench.customer, bench.site)
    );
    assert_eq!(identity.probe(), ProbeId::from_bytes(answer.probe_id));
    assert_eq!(
        answer.names,
        ("Meyer".into(), "Office".into(), "box-1".into())
    );
    assert_eq!(identity.not_after().since(bench.clock.now()), LEAF_MS);
    assert_eq!(
        bench
            .count("SELECT count(*) FROM audit WHERE action = 'probe.join'")
            .await,
        1
    );
    // The same machine at the same site again: told apart by its name.
    let (_, second) = bench.join().await;
    assert_eq!(second.names.2, "box-1 2");
}

#[tokio::test]
async fn a_used_expired_void_or_unknown_token_makes_nothing_and_says_so() {
    let bench = Bench::new().await;
    let key = KeyPair::generate().unwrap();
    let join = async |token: &JoinToken| {
        let answer = bench
            .enroll
            .join(request(token, &KeyPair::generate().unwrap()), HERE)
            .await;
        assert!(answer.certificate.is_empty() != answer.refused.is_empty());
        answer.reason
    };
    let used = bench.token().await;
    assert_eq!(join(&used).await, "");
    assert_eq!(join(&used).await, "token_used");
    let failure = bench
        .text("SELECT last_failure FROM join_tokens")
        .await
        .unwrap();
    assert!(
        failure.contains("used before") && failure.contains("127.0.0.1"),
        "{failure}"
    );

    let late = bench.token().await;
    bench.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(join(&late).await, "token_expired");

    let void = bench.token().await;
    bench
        .writer
        .write(|c| c.execute("UPDATE join_tokens SET void = 1 WHERE used_ms IS NULL", []))
        .await
        .unwrap();
    assert_eq!(join(&void).await, "token_unknown");

    let mut unknown = bench.token().await;
    unknown.secret[0] ^= 1;
    assert_eq!(join(&unknown).await, "token_unknown");

    let mut bad = request(&bench.token().await, &key);
    bad.csr.truncate(20);
    assert_eq!(bench.enroll.join(bad, HERE).await.reason, "bad_request");
    assert_eq!(bench.count("SELECT count(*) FROM probes").await, 1);
}

#[tokio::test]
async fn a_thousand_at_once_with_one_token_make_one_probe() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    // A handful of real keys, each used by many askers: making a thousand keys proves nothing more.
    let keys: Vec<KeyPair> = (0..50).map(|_| KeyPair::generate().unwrap()).collect();
    let addresses: Vec<IpAddr> = (0..1_000_u32)
        .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
        .collect();
    let answers = join_all(addresses.iter().enumerate().map(|(n, from)| {
        bench
            .enroll
            .join(request(&token, &keys[n % keys.len()]), *from)
    }))
    .await;
    let mut certificates: Vec<_> = answers
        .iter()
        .filter(|a| a.refused.is_empty())
        .map(|a| a.certificate.clone())
        .collect();
    certificates.sort();
    certificates.dedup();
    assert_eq!(
        certificates.len(),
        1,
        "one certificate, however often its owner asked"
    );
    assert_eq!(bench.count("SELECT count(*) FROM probes").await, 1);
    assert!(
        answers
            .iter()
            .filter(|a| !a.refused.is_empty())
            .all(|a| a.reason == "token_used")
    );
}

#[tokio::test]
async fn whoever_lost_the_answer_gets_the_same_one_again_and_nobody_else_does() {
    let mut bench = Bench::new().await;
    let (token, key) = (bench.token().await, KeyPair::generate().unwrap());
    let first = bench.enroll.join(request(&token, &key), HERE).await;
    let again = bench.enroll.join(request(&token, &key), HERE).await;
    assert_eq!(first, again);
    let other = bench
        .enroll
        .join(request(&token, &KeyPair::generate().unwrap()), HERE)
        .await;
    assert_eq!(other.reason, "token_used");
    bench.reopen().await;
    assert_eq!(
        bench.enroll.join(request(&token, &key), HERE).await.reason,
        "token_used"
    );
    assert_eq!(bench.count("SELECT count(*) FROM probes").await, 1);
}

#[tokio::test]
async fn guessing_is_held_back_by_address() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let mut guess = request(&token, &KeyPair::generate().unwrap());
    guess.secret = [0; 32];
    let mut reasons = Vec::new();
    for _ in 0..30 {
        reasons.push(bench.enroll.join(guess.clone(), HERE).await.reason);
    }
    assert_eq!(reasons.last().unwrap(), "busy");
    let elsewhere = IpAddr::from([10, 0, 0, 1]);
    let answer = bench
        .enroll
        .join(request(&token, &KeyPair::generate().unwrap()), elsewhere)
        .await;
    assert_eq!(answer.refused, "", "others are not held back");
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_after_its_end_and_up_to_ninety_days_later() {
    let bench = Bench::new().await;
    let (key, answer) = bench.join().await;
    let mut certificate = answer.certificate;
    for (wait, alpn) in [
        (36 * HOUR, &b"farwatch/1"[..]),
        (73 * HOUR, b"farwatch-renew/1"),
        (90 * DAY + 72 * HOUR - HOUR, b"farwatch-renew/1"),
    ] {
        bench.clock.advance(wait);
        let peer = renewing(bench.knock(alpn, &certificate));
        let answer = bench
            .enroll
            .renew(peer, RenewRequest { csr: csr(&key) }, HERE)
            .await;
        assert_eq!(answer.refused, "");
        certificate = answer.certificate;
        assert!(matches!(
            bench.knock(b"farwatch/1", &certificate),
            Ok(Peer::Probe(_))
        ));
    }
    bench.clock.advance(93 * DAY + HOUR);
    assert_eq!(
        bench.knock(b"farwatch-renew/1", &certificate).unwrap_err(),
        Refusal::TooOld
    );
    assert_eq!(
        bench
            .count("SELECT count(*) FROM audit WHERE action = 'probe.renew'")
            .await,
        3
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_for_its_own_key_only() {
    let bench = Bench::new().await;
    let (_, answer) = bench.join().await;
    let peer = renewing(bench.knock(b"farwatch/1", &answer.certificate));
    let other = KeyPair::generate().unwrap();
    let answer = bench
        .enroll
        .renew(peer, RenewRequest { csr: csr(&other) }, HERE)
        .await;
    assert_eq!(answer.reason, "wrong_key");
}

#[tokio::test]
async fn a_revoked_probe_is_out_and_stays_out_whatever_is_restored() {
    let mut bench = Bench::new().await;
    let (key, answer) = bench.join().await;
    let probe = ProbeId::from_bytes(answer.probe_id);
    let peer = renewing(bench.knock(b"farwatch/1", &answer.certificate));
    assert!(
        bench
            .enroll
            .revoke(probe, "stolen", "anna", "10.0.0.9")
            .await
            .unwrap()
    );
    assert!(
        !bench
            .enroll
            .revoke(probe, "again", "anna", "10.0.0.9")
            .await
            .unwrap()
    );
    for alpn in [&b"farwatch/1"[..], b"farwatch-renew/1"] {
        assert_eq!(
            bench.knock(alpn, &answer.certificate).unwrap_err(),
            Refusal::Revoked
        );
    }
    let renewed = bench
        .enroll
        .renew(peer, RenewRequest { csr: csr(&key) }, HERE)
        .await;
    assert_eq!(
        renewed.reason, "revoked",
        "a session that is being cut gets no certificate"
    );

    // Yesterday's database comes back; the list beside it does not go away.
    bench
        .writer
        .write(|c| {
            c.execute(
                "UPDATE probes SET revoked_ms = NULL, revoked_reason = NULL",
                [],
            )
        })
        .await
        .unwrap();
    assert_eq!(
        bench.knock(b"farwatch/1", &answer.certificate).unwrap_err(),
        Refusal::Revoked
    );
    bench.reopen().await;
    assert_eq!(
        bench.knock(b"farwatch/1", &answer.certificate).unwrap_err(),
        Refusal::Revoked
    );
    assert_eq!(
        bench
            .count("SELECT count(*) FROM probes WHERE revoked_ms IS NOT NULL")
            .await,
        1
    );

    // And the other way round: a list that lost its line gets it back from the row.
    std::fs::remove_file(bench.dir.path().join("revocations.log")).unwrap();
    bench.reopen().await;
    assert!(bench.enroll.is_revoked(probe));
    assert!(matches!(
        bench
            .enroll
            .revoke(ProbeId::generate(), "", "anna", "")
            .await,
        Err(EnrollError::NoSuchProbe)
    ));
}

#[tokio::test]
async fn after_a_restore_unused_tokens_are_void() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    bench.join().await;
    bench.enroll.after_restore().await.unwrap();
    let answer = bench
        .enroll
        .join(request(&token, &KeyPair::generate().unwrap()), HERE)
        .await;
    assert_eq!(answer.reason, "token_unknown");
    assert_eq!(
        bench
            .count("SELECT count(*) FROM join_tokens WHERE void = 1")
            .await,
        1
    );
}

#[tokio::test]
async fn a_row_of_another_customer_does_not_let_a_probe_in() {
    let bench = Bench::new().await;
    let (_, answer) = bench.join().await;
    let (customer, site) = (CustomerId::generate(), SiteId::generate());
    bench
        .writer
        .write(move |c| {
            c.execute(
                "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Other', 0)",
                [customer],
            )?;
            c.execute(
                "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'There', 0)",
                (site, customer),
            )?;
            c.execute(
                "UPDATE probes SET customer_id = ?1, site_id = ?2",
                (customer, site),
            )
        })
        .await
        .unwrap();
    assert_eq!(
        bench.knock(b"farwatch/1", &answer.certificate).unwrap_err(),
        Refusal::Unknown
    );
}

#[tokio::test]
async fn no_token_lives_longer_than_an_hour() {
    let bench = Bench::new().await;
    let new = bench.enroll.new_token(i64::MAX);
    assert!(new.expires <= bench.clock.now().plus_ms(3_600_000));
    assert!(bench.enroll.new_token(-5).expires > Timestamp(0));
    assert!(!format!("{new:?}").contains("fwj1_"));
}

#[tokio::test]
async fn a_list_of_addresses_that_changed_gets_a_new_revision_and_the_same_one_does_not() {
    let mut bench = Bench::new().await;
    let revision = "SELECT addresses_revision FROM deployment";
    let first = bench.count(revision).await;
    bench.reopen().await;
    assert_eq!(
        bench.count(revision).await,
        first,
        "a restart alone changes nothing"
    );
    let moved = vec!["new.example.net:4433".to_owned()];
    let told = bench.enroll.set_addresses(moved.clone()).await.unwrap();
    assert_eq!(i64::try_from(told).unwrap(), first + 1);
    assert_eq!(bench.enroll.addresses(), moved);
    let none = bench.enroll.set_addresses(Vec::new()).await;
    assert!(matches!(none, Err(EnrollError::Addresses)));
}

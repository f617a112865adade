//! Certificates in virtual time: a year of probes that sleep, jump and come back without a visit; whoever was revoked,
//! never.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use farwatch_central::control::Registry;
use farwatch_central::enroll::Enroll;
use farwatch_central::enroll::ca::{Ca, succession};
use farwatch_probe::identity::{self, Identity};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, DeploymentId, SiteId, TokenId};
use farwatch_shared::link::{
    Alpn, Dialer, JoinToken, Listener, Peer, Refusal, Route, Transport, accept,
};
use farwatch_shared::sqlite::{self, Writer};
use farwatch_shared::wire::message::enroll::{JoinRequest, RenewRequest};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a handshake on loopback may take.
const LIMIT: Duration = Duration::from_secs(20);
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Later than any release of this program, so that its own time of making does not matter.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Central's door over a real `central.db`.
struct Door {
    dir: tempfile::TempDir,
    enroll: Enroll,
    writer: Writer,
    clock: Clock,
    place: (CustomerId, SiteId),
}

impl Door {
    async fn open() -> Self {
        let dir = super::scratch();
        let path = dir.path().join("central.db");
        let connection = sqlite::open(&path, &farwatch_central::store::SCHEMA).unwrap();
        let place = (CustomerId::generate(), SiteId::generate());
        connection
            .execute(
                "INSERT INTO deployment (one, id, created_ms) VALUES (1, ?1, 0)",
                [DeploymentId::generate()],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Meyer', 0)",
                [place.0],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?2, ?1, 'Office', 0)",
                place,
            )
            .unwrap();
        let writer = Writer::start(connection, &path, "central.db").unwrap();
        let clock = Clock::manual(START);
        let enroll = open(&dir, &writer, &clock).await;
        Self {
            dir,
            enroll,
            writer,
            clock,
            place,
        }
    }

    async fn join(&self) -> Sleeper {
        let new = self.enroll.new_token(30 * 60_000);
        let ((customer, site), hash, expires) = (self.place, new.secret_hash, new.expires);
        self.writer
            .write(move |c| {
                c.execute(
                    "INSERT INTO join_tokens (id, customer_id, site_id, secret_hash, created_ms, created_by, expires_ms)
                     VALUES (?1, ?2, ?3, ?4, 0, 'anna', ?5)",
                    (TokenId::generate(), customer, site, hash, expires),
                )
            })
            .await
            .unwrap();
        let token: JoinToken = new.text.parse().unwrap();
        let dir = super::scratch();
        let key = identity::key_in(dir.path()).unwrap();
        let request = JoinRequest {
            secret: token.secret,
            csr: identity::csr(&key).unwrap(),
            host_name: "box".to_owned(),
            program: "test".to_owned(),
        };
        // A few a minute from one address: time goes on meanwhile.
        self.clock.advance(Duration::from_secs(60));
        let answer = self.enroll.join(request, HERE).await;
        assert_eq!(answer.refused, "", "{}", answer.reason);
        let now = self.clock.now();
        let identity = Identity::keep_joined(dir.path(), key, &answer, &token.ca_key_hash, now);
        Sleeper {
            identity: identity.unwrap(),
            dir,
            awake_at: now,
            renewals: 0,
        }
    }

    /// Another CA takes over: Central was stopped, and starts with it.
    async fn change(&mut self, how: impl FnOnce(&Path, DeploymentId) -> Ca) {
        let ca = self.dir.path().join("ca");
        how(&ca, self.enroll.ca().deployment());
        self.enroll = open(&self.dir, &self.writer, &self.clock).await;
    }

    /// Central's own handshake with a probe that believes what it kept: both sides have to be content.
    async fn shake(&self, alpn: Alpn, identity: &Identity) -> Result<(), String> {
        let credentials = self.enroll.ca().central_credentials().unwrap();
        let listener = Listener::bind(
            (HERE, 0).into(),
            credentials,
            self.enroll.authority().anchors,
        )
        .unwrap();
        let route = Route {
            udp: Some(listener.local_address().unwrap()),
            tcp: None,
            first: Transport::Udp,
            head_start: LIMIT,
            deadline: LIMIT,
        };
        let mut dialer = Dialer::new();
        let (own, trust) = (identity.credentials(), identity.trust(&self.clock));
        let dial = dialer.reach(&route, alpn, Some(own), trust);
        let answer = async { listener.accept().await.expect("a listener").shake().await };
        let (dialled, shaken) = tokio::join!(dial, answer);
        dialled.map_err(|error| format!("{error:?}"))?;
        shaken.map(|_| ()).map_err(|error| error.to_string())
    }

    fn knock(&self, alpn: Alpn, identity: &Identity) -> Result<Peer, Refusal> {
        let chain = identity.credentials().chain;
        let authority = self.enroll.authority();
        accept(
            alpn.as_bytes(),
            &chain,
            self.clock.now(),
            &authority,
            |probe| self.enroll.look_up(probe),
        )
    }
}

async fn open(dir: &tempfile::TempDir, writer: &Writer, clock: &Clock) -> Enroll {
    Enroll::open(
        dir.path(),
        &dir.path().join("central.db"),
        writer.clone(),
        Registry::default(),
        vec!["127.0.0.1:4433".to_owned()],
        clock.clone(),
    )
    .await
    .unwrap()
}

/// A probe that is off now and then.
struct Sleeper {
    dir: tempfile::TempDir,
    identity: Identity,
    awake_at: Timestamp,
    renewals: u32,
}

impl Sleeper {
    /// What the uplink does with its certificate when it wakes up, and each hour.
    async fn hour(&mut self, door: &Door) {
        let now = door.clock.now();
        if now < self.identity.renew_after() {
            assert!(matches!(
                door.knock(Alpn::Work, &self.identity),
                Ok(Peer::Probe(_))
            ));
            return;
        }
        let peer = match door.knock(Alpn::Renew, &self.identity) {
            Ok(Peer::Renewing(key)) => key,
            other => panic!("a probe that may renew: {other:?}"),
        };
        let request = RenewRequest {
            csr: self.identity.csr().unwrap(),
        };
        let answer = door.enroll.renew(peer, request, HERE).await;
        assert_eq!(answer.refused, "", "{}", answer.reason);
        self.identity.keep_renewed(&answer).unwrap();
        self.renewals += 1;
        // What was kept is what a restart finds.
        self.identity = Identity::load(self.dir.path()).unwrap().unwrap();
        assert!(matches!(
            door.knock(Alpn::Work, &self.identity),
            Ok(Peer::Probe(_))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_year_no_probe_that_is_on_runs_out_and_whoever_slept_for_ninety_days_comes_back() {
    let mut dice = StdRng::seed_from_u64(super::seed());
    let door = Door::open().await;
    let mut probes = Vec::new();
    for _ in 0..super::scaled(8) {
        probes.push(door.join().await);
    }
    let (mut long, mut expired) = (0, 0);
    let end = door.clock.now().plus_ms(365 * DAY);
    while door.clock.now() < end {
        door.clock.advance(Duration::from_secs(3_600));
        let now = door.clock.now();
        for probe in &mut probes {
            if now < probe.awake_at {
                continue;
            }
            if probe.identity.not_after() < now {
                // Only whoever slept may be here.
                expired += u32::from(now.since(probe.awake_at) >= 2 * HOUR);
            }
            probe.hour(&door).await;
            // One hour in some hundred it goes to sleep, for up to ninety days beyond the end of its certificate.
            if dice.random_bool(0.005) {
                let most = probe
                    .identity
                    .not_after()
                    .plus_ms(90 * DAY - 2 * HOUR)
                    .since(now);
                let sleep = dice.random_range(HOUR..=most);
                long += u32::from(sleep > 72 * HOUR);
                probe.awake_at = now.plus_ms(sleep);
            }
        }
    }
    let renewals: u32 = probes.iter().map(|probe| probe.renewals).sum();
    println!(
        "{} probes, {renewals} renewals, {long} sleeps beyond a certificate's life, {expired} ran out while on",
        probes.len()
    );
    assert_eq!(expired, 0);
    assert!(long > 0 && renewals > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_revoked_never_comes_in_again() {
    let door = Door::open().await;
    let mut probe = door.join().await;
    probe.hour(&door).await;
    door.enroll
        .revoke(probe.identity.name().probe, "stolen", "ada", "here")
        .await
        .unwrap();
    let attempts = super::scaled(10_000);
    let mut dice = StdRng::seed_from_u64(super::seed());
    for _ in 0..attempts {
        door.clock
            .advance(Duration::from_secs(dice.random_range(1..3_600)));
        let alpn = if dice.random() {
            Alpn::Work
        } else {
            Alpn::Renew
        };
        assert!(
            matches!(door.knock(alpn, &probe.identity), Err(Refusal::Revoked)),
            "{alpn:?}"
        );
    }
    println!("{attempts} attempts of a revoked probe, none came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ca_needs_no_visit_and_a_retired_one_opens_nothing() {
    let mut door = Door::open().await;
    let mut awake = Vec::new();
    for _ in 0..super::scaled(10) {
        awake.push(door.join().await);
    }
    let mut asleep = door.join().await;
    let stranger = door.join().await;
    let old_ca = door.enroll.ca().key_hash();
    let token: JoinToken = door.enroll.new_token(30 * 60_000).text.parse().unwrap();
    for round in 0..3 {
        let now = door.clock.now();
        door.change(|dir, deployment| succession::rotate(dir, deployment, now).unwrap())
            .await;
        for probe in awake.iter_mut().chain([&mut asleep]) {
            // It knows an earlier CA only, and is known by what that one signed.
            door.shake(Alpn::Work, &probe.identity).await.unwrap();
        }
        door.clock.advance(Duration::from_secs(40 * 3_600));
        for probe in &mut awake {
            probe.hour(&door).await;
            assert_eq!(probe.renewals, round + 1);
            door.shake(Alpn::Work, &probe.identity).await.unwrap();
        }
    }
    let full = succession::rotate(
        &door.dir.path().join("ca"),
        door.enroll.ca().deployment(),
        door.clock.now(),
    );
    assert!(full.is_err(), "a fourth would not fit into a handshake");
    assert_eq!(door.enroll.ca().earlier(), 3);
    assert_ne!(door.enroll.ca().key_hash(), old_ca);
    assert_eq!(token.ca_key_hash, old_ca);
    // Three CAs later it wakes up, renews with the key that it had, and is as good as the others.
    door.shake(Alpn::Renew, &asleep.identity).await.unwrap();
    asleep.hour(&door).await;
    assert_eq!(asleep.renewals, 1);

    door.change(|dir, deployment| succession::retire(dir, deployment).unwrap())
        .await;
    for probe in awake.iter_mut().chain([&mut asleep]) {
        door.shake(Alpn::Work, &probe.identity).await.unwrap();
        door.clock.advance(Duration::from_secs(40 * 3_600));
        probe.hour(&door).await;
    }
    assert!(
        door.shake(Alpn::Work, &stranger.identity).await.is_err(),
        "whoever knows only what was retired believes nobody"
    );
}

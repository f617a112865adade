//! Enrolment over a real `central.db`, with a clock moved by hand.

use std::net::{IpAddr, Ipv4Addr};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, DeploymentId, SiteId, TokenId};
use farwatch_shared::link::{JoinToken, Peer, accept};
use farwatch_shared::sqlite::{self, Writer};
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::Enroll;
use crate::control::Registry;

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A Central without anything but its door.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) enroll: Enroll,
    pub(crate) writer: Writer,
    pub(crate) registry: Registry,
    pub(crate) clock: Clock,
    pub(crate) customer: CustomerId,
    pub(crate) site: SiteId,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Clock::manual(START), vec!["127.0.0.1:4433".to_owned()]).await
    }

    pub(crate) async fn with(clock: Clock, addresses: Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("central.db");
        let connection = sqlite::open(&path, &crate::store::SCHEMA).unwrap();
        let (customer, site) = (CustomerId::generate(), SiteId::generate());
        connection
            .execute(
                "INSERT INTO deployment (one, id, created_ms) VALUES (1, ?1, 0)",
                [DeploymentId::generate()],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Meyer', 0)",
                [customer],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'Office', 0)",
                (site, customer),
            )
            .unwrap();
        let writer = Writer::start(connection, &path, "central.db").unwrap();
        let registry = Registry::default();
        let enroll = Enroll::open(
            dir.path(),
            &path,
            writer.clone(),
            registry.clone(),
            addresses,
            clock.clone(),
        )
        .await
        .unwrap();
        Self {
            dir,
            enroll,
            writer,
            registry,
            clock,
            customer,
            site,
        }
    }

    /// The same files, opened as after a restart.
    pub(crate) async fn reopen(&mut self) {
        self.enroll = Enroll::open(
            self.dir.path(),
            &self.dir.path().join("central.db"),
            self.writer.clone(),
            self.registry.clone(),
            vec!["127.0.0.1:4433".to_owned()],
            self.clock.clone(),
        )
        .await
        .unwrap();
    }

    /// A token of this site, valid for half an hour.
    pub(crate) async fn token(&self) -> JoinToken {
        let new = self.enroll.new_token(30 * 60_000);
        let (customer, site, hash, expires) =
            (self.customer, self.site, new.secret_hash, new.expires);
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
        new.text.parse().unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.writer
            .write(move |c| c.query_row(sql, [], |row| row.get(0)))
            .await
            .unwrap()
    }

    pub(crate) async fn text(&self, sql: &'static str) -> Option<String> {
        self.writer
            .write(move |c| c.query_row(sql, [], |row| row.get(0)))
            .await
            .unwrap()
    }

    /// Joins with a fresh key.
    pub(crate) async fn join(&self) -> (KeyPair, CertificateAnswer) {
        let key = KeyPair::generate().unwrap();
        let token = self.token().await;
        let answer = self.enroll.join(request(&token, &key), HERE).await;
        assert_eq!(answer.refused, "");
        (key, answer)
    }

    /// What the door makes of a certificate now.
    pub(crate) fn knock(
        &self,
        alpn: &[u8],
        certificate: &[u8],
    ) -> Result<Peer, farwatch_shared::link::Refusal> {
        let chain = [CertificateDer::from(certificate.to_vec())];
        let authority = self.enroll.authority();
        accept(alpn, &chain, self.clock.now(), &authority, |probe| {
            self.enroll.look_up(probe)
        })
    }
}

pub(crate) fn csr(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(
        "spiffe://evil/customer/x".try_into().unwrap(),
    )];
    params.serialize_request(key).unwrap().der().to_vec()
}

pub(crate) fn request(token: &JoinToken, key: &KeyPair) -> JoinRequest {
    JoinRequest {
        secret: token.secret,
        csr: csr(key),
        host_name: "box-1".to_owned(),
        program: "farwatch-probe test".to_owned(),
    }
}

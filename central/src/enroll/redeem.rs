//! A token becomes a probe: in one transaction, once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId, TokenId};
use farwatch_shared::link::ProbeName;
use farwatch_shared::link::token::secret_hash;
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use super::ca::Ca;
use super::csr::{self, RequestedKey};
use super::{Act, Inner, refused};

/// The longest name of a probe, in characters.
const NAME_LIMIT: usize = 64;
/// Answers remembered for askers that lost theirs.
const MOST_REMEMBERED: usize = 256;

/// Answers given in the last hour, by (secret's hash, key's hash): whoever lost the answer on its way and asks again with
/// the same key gets the very same certificate, never a second one. Not kept over a restart; then a new token is needed.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<HashMap<Asked, (Timestamp, CertificateAnswer)>>);

/// SHA-256 of the secret, SHA-256 of the key.
type Asked = ([u8; 32], [u8; 32]);

impl Remembered {
    fn get(&self, secret: &[u8; 32], key: &[u8; 32], now: Timestamp) -> Option<CertificateAnswer> {
        let answers = self.0.lock().ok()?;
        let (until, answer) = answers.get(&(*secret, *key))?;
        (now < *until).then(|| answer.clone())
    }

    fn put(
        &self,
        secret: [u8; 32],
        key: [u8; 32],
        until: Timestamp,
        now: Timestamp,
        answer: &CertificateAnswer,
    ) {
        if let Ok(mut answers) = self.0.lock() {
            answers.retain(|_, (until, _)| now < *until);
            if answers.len() < MOST_REMEMBERED {
                answers.insert((secret, key), (until, answer.clone()));
            }
        }
    }
}

/// What one attempt came to, inside the transaction.
enum Attempt {
    Joined {
        answer: CertificateAnswer,
        expires: Timestamp,
    },
    Refused(CertificateAnswer),
}

pub(super) async fn join(
    inner: &Inner,
    request: JoinRequest,
    from: IpAddr,
    now: Timestamp,
) -> CertificateAnswer {
    let secret = secret_hash(&request.secret);
    let key = match csr::read(&request.csr) {
        Ok(key) => key,
        Err(error) => return refused("bad_request", &error.to_string()),
    };
    let key_hash = key.hash;
    if let Some(answer) = inner.remembered.get(&secret, &key_hash, now) {
        return answer;
    }
    let (ca, addresses) = (inner.ca.clone(), inner.addresses.borrow().clone());
    let asker = Asker {
        secret,
        key,
        host_name: DeviceText::name(request.host_name.as_bytes()).to_string(),
        program: DeviceText::name(request.program.as_bytes()).to_string(),
        from,
    };
    let attempt = inner
        .writer
        .write(move |c| redeem(c, &ca, &asker, addresses, now))
        .await;
    match attempt {
        Ok(Attempt::Joined { answer, expires }) => {
            inner
                .remembered
                .put(secret, key_hash, expires, now, &answer);
            answer
        }
        Ok(Attempt::Refused(answer)) => answer,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "a join could not be kept");
            refused(
                "busy",
                "Central cannot keep anything at the moment: try again in a minute",
            )
        }
    }
}

struct Asker {
    secret: [u8; 32],
    key: RequestedKey,
    host_name: String,
    program: String,
    from: IpAddr,
}

struct TokenRow {
    id: TokenId,
    customer: CustomerId,
    site: SiteId,
    probe_name: Option<String>,
    expires: Timestamp,
    used: Option<Timestamp>,
    void: bool,
}

/// The file has one writer, so nothing can come between looking and taking.
fn redeem(
    c: &Connection,
    ca: &Ca,
    asker: &Asker,
    addresses: Vec<String>,
    now: Timestamp,
) -> rusqlite::Result<Attempt> {
    let Some(token) = find(c, &asker.secret)? else {
        return Ok(Attempt::Refused(refused(
            "token_unknown",
            "Central does not know this token: make a new one in the console",
        )));
    };
    let problem = if token.used.is_some() {
        Some((
            "token_used",
            "this token was used before: make a new one, each is for one probe",
        ))
    } else if token.void {
        Some((
            "token_unknown",
            "this token was withdrawn: make a new one in the console",
        ))
    } else if now >= token.expires {
        Some((
            "token_expired",
            "this token has expired: make a new one in the console",
        ))
    } else {
        None
    };
    if let Some((reason, sentence)) = problem {
        let seen = format!(
            "{now}: {} ({}) tried: {sentence}",
            asker.from, asker.host_name
        );
        c.prepare_cached("UPDATE join_tokens SET last_failure = ?2 WHERE id = ?1")?
            .execute((token.id, seen))?;
        return Ok(Attempt::Refused(refused(reason, sentence)));
    }
    let (customer_name, site_name): (String, String) = c.query_row(
        "SELECT k.name, s.name FROM sites s JOIN customers k ON k.id = s.customer_id WHERE s.id = ?1 AND k.id = ?2",
        (token.site, token.customer),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let name = ProbeName {
        deployment: ca.deployment(),
        customer: token.customer,
        site: token.site,
        probe: ProbeId::generate(),
    };
    let probe_name = probe_name(c, &token, asker)?;
    let (certificate, not_after) = ca.issue(&name, &asker.key.key, now).map_err(other)?;
    Act {
        who: &format!("probe {probe_name}"),
        from_address: &asker.from.to_string(),
        customer: Some(token.customer),
        action: "probe.join",
        object: ("probe", &name.probe),
        detail: json!({ "join_token_id": token.id, "site_id": token.site, "name": probe_name,
                 "host_name": asker.host_name, "program": asker.program }),
    }
    .write(c, now)?;
    c.execute(
        "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, program, host_name, peer_address,
                             certificate_not_after_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            name.probe,
            token.customer,
            token.site,
            &probe_name,
            asker.key.hash,
            now,
            &asker.program,
            &asker.host_name,
            asker.from.to_string(),
            not_after,
        ),
    )?;
    let taken = c.execute(
        "UPDATE join_tokens SET used_ms = ?2, probe_id = ?3, last_failure = NULL
         WHERE id = ?1 AND used_ms IS NULL AND void = 0",
        (token.id, now, name.probe),
    )?;
    if taken != 1 {
        return Err(other(std::io::Error::other("a token was taken twice")));
    }
    Ok(Attempt::Joined {
        answer: CertificateAnswer {
            refused: String::new(),
            reason: String::new(),
            certificate: certificate.to_vec(),
            ca: ca.trusted(),
            probe_id: *name.probe.as_bytes(),
            site_id: *name.site.as_bytes(),
            customer_id: *name.customer.as_bytes(),
            addresses,
            names: (customer_name, site_name, probe_name),
        },
        expires: token.expires,
    })
}

fn find(c: &Connection, secret_hash: &[u8; 32]) -> rusqlite::Result<Option<TokenRow>> {
    c.prepare_cached(
        "SELECT id, customer_id, site_id, probe_name, expires_ms, used_ms, void FROM join_tokens WHERE secret_hash = ?1",
    )?
    .query_row([secret_hash], |row| {
        Ok(TokenRow {
            id: row.get(0)?,
            customer: row.get(1)?,
            site: row.get(2)?,
            probe_name: row.get(3)?,
            expires: row.get(4)?,
            used: row.get(5)?,
            void: row.get(6)?,
        })
    })
    .optional()
}

/// The token's name for the probe, else the machine's; told apart from others of the site.
fn probe_name(c: &Connection, token: &TokenRow, asker: &Asker) -> rusqlite::Result<String> {
    let wanted = token
        .probe_name
        .as_deref()
        .into_iter()
        .chain([asker.host_name.as_str(), "probe"])
        .map(|name| name.trim().chars().take(NAME_LIMIT).collect::<String>())
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    let mut taken =
        c.prepare_cached("SELECT 1 FROM probes WHERE site_id = ?1 AND name = ?2 COLLATE NOCASE")?;
    let mut name = wanted.clone();
    let mut number = 2_u32;
    while taken.exists((token.site, &name))? {
        name = format!("{wanted} {number}");
        number += 1;
    }
    Ok(name)
}

pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

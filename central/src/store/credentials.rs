//! Credentials by which devices answer. Their secrets are sealed, and leave only towards a probe.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CredentialId, CustomerId, SiteId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::value::{Id, Time, count, words};
use super::{Outcome, Refused, audit, customers, found, sites};
use crate::scope::Scope;
use crate::vault::{OpenError, Place, Sealed, Vault};

words! {
    /// Which SNMP.
    pub enum CredentialKind {
        /// RFC 1157.
        V1 => "v1",
        /// RFC 1901.
        V2c => "v2c",
        /// RFC 3411.
        V3 => "v3",
    }
}

words! {
    /// RFC 3411 security level.
    pub enum SecurityLevel {
        /// Anyone may ask and read along.
        NoAuthNoPriv => "noAuthNoPriv",
        /// Messages are authentic, and readable.
        AuthNoPriv => "authNoPriv",
        /// Messages are authentic and encrypted.
        AuthPriv => "authPriv",
    }
}

words! {
    /// RFC 3414, RFC 7860.
    pub enum AuthProtocol {
        /// HMAC-MD5-96, weak.
        Md5 => "MD5",
        /// HMAC-SHA-96.
        Sha1 => "SHA-1",
        /// RFC 7860.
        Sha224 => "SHA-224",
        /// RFC 7860.
        Sha256 => "SHA-256",
        /// RFC 7860.
        Sha384 => "SHA-384",
        /// RFC 7860.
        Sha512 => "SHA-512",
    }
}

words! {
    /// RFC 3414, RFC 3826, and the two extensions for longer keys (`-C`: as Cisco does).
    pub enum PrivProtocol {
        /// CBC-DES, weak.
        Des => "DES",
        /// RFC 3826.
        Aes128 => "AES-128",
        /// Key extension by Blumenthal.
        Aes192 => "AES-192",
        /// Key extension by Blumenthal.
        Aes256 => "AES-256",
        /// Key extension by Reeder.
        Aes192C => "AES-192-C",
        /// Key extension by Reeder.
        Aes256C => "AES-256-C",
    }
}

/// A credential without its secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Credential {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub customer_id: Id,
    /// The only site it is for; `null` is all of the customer's.
    #[schema(required)]
    pub site_id: Option<Id>,
    /// For people; "last attempt per credential" names it.
    pub name: String,
    /// Which SNMP.
    pub kind: CredentialKind,
    /// v3.
    #[schema(required)]
    pub user_name: Option<String>,
    /// v3.
    #[schema(required)]
    pub security_level: Option<SecurityLevel>,
    /// v3.
    #[schema(required)]
    pub auth_protocol: Option<AuthProtocol>,
    /// v3.
    #[schema(required)]
    pub priv_protocol: Option<PrivProtocol>,
    /// v3.
    #[schema(required)]
    pub context_name: Option<String>,
    /// Whether somebody on the wire can read or forge what it protects.
    pub weak: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// How many sites try it.
    pub used_by_sites: u64,
}

/// What of a credential is secret. Does not print.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Secrets {
    /// v1, v2c.
    #[serde(default)]
    pub community: String,
    /// v3.
    #[serde(default)]
    pub auth_password: String,
    /// v3.
    #[serde(default)]
    pub priv_password: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Everything of a credential that a person writes.
#[derive(Clone, Debug)]
pub struct Draft {
    /// For people.
    pub name: String,
    /// Which SNMP.
    pub kind: CredentialKind,
    /// v3.
    pub user_name: Option<String>,
    /// v3.
    pub security_level: Option<SecurityLevel>,
    /// v3.
    pub auth_protocol: Option<AuthProtocol>,
    /// v3.
    pub priv_protocol: Option<PrivProtocol>,
    /// v3.
    pub context_name: Option<String>,
    /// What is sealed.
    pub secrets: Secrets,
}

impl Draft {
    /// Checks that it can work at all, and clears what its kind does not use.
    ///
    /// # Errors
    /// [`Refused::Invalid`] names the field.
    pub fn check(mut self) -> Outcome<Self> {
        let invalid = |field, detail: &str| Refused::Invalid {
            field,
            detail: detail.to_owned(),
        };
        if self.kind != CredentialKind::V3 {
            if self.secrets.community.is_empty() {
                return Err(invalid("community", "a community is needed"));
            }
            self.user_name = None;
            self.security_level = None;
            self.auth_protocol = None;
            self.priv_protocol = None;
            self.context_name = None;
            self.secrets.auth_password.zeroize();
            self.secrets.priv_password.zeroize();
            return Ok(self);
        }
        self.secrets.community.zeroize();
        if self.user_name.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("user_name", "SNMPv3 needs a user name"));
        }
        let level = self
            .security_level
            .ok_or_else(|| invalid("security_level", "SNMPv3 needs a security level"))?;
        if level == SecurityLevel::NoAuthNoPriv {
            self.auth_protocol = None;
            self.secrets.auth_password.zeroize();
        } else {
            if self.auth_protocol.is_none() {
                return Err(invalid("auth_protocol", "this security level needs one"));
            }
            if self.secrets.auth_password.len() < 8 {
                return Err(invalid(
                    "auth_password",
                    "at least 8 characters (RFC 3414, 11.2)",
                ));
            }
        }
        if level == SecurityLevel::AuthPriv {
            if self.priv_protocol.is_none() {
                return Err(invalid("priv_protocol", "this security level needs one"));
            }
            if self.secrets.priv_password.len() < 8 {
                return Err(invalid(
                    "priv_password",
                    "at least 8 characters (RFC 3414, 11.2)",
                ));
            }
        } else {
            self.priv_protocol = None;
            self.secrets.priv_password.zeroize();
        }
        Ok(self)
    }
}

const COLUMNS: &str = "SELECT c.id, c.customer_id, c.site_id, c.name, c.kind, c.user_name, c.security_level, c.auth_protocol,
    c.priv_protocol, c.context_name, c.created_ms, c.updated_ms,
    (SELECT count(*) FROM site_configs s, json_each(s.document, '$.credential_ids') j
     WHERE s.customer_id = c.customer_id AND j.value = ?1) FROM credentials c";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Credential> {
    let kind: CredentialKind = row.get(4)?;
    let security_level: Option<SecurityLevel> = row.get(6)?;
    let auth_protocol: Option<AuthProtocol> = row.get(7)?;
    let priv_protocol: Option<PrivProtocol> = row.get(8)?;
    Ok(Credential {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        site_id: row.get(2)?,
        name: row.get(3)?,
        kind,
        user_name: row.get(5)?,
        security_level,
        auth_protocol,
        priv_protocol,
        context_name: row.get(9)?,
        weak: kind != CredentialKind::V3
            || security_level != Some(SecurityLevel::AuthPriv)
            || auth_protocol == Some(AuthProtocol::Md5)
            || priv_protocol == Some(PrivProtocol::Des),
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        used_by_sites: count(row, 12)?,
    })
}

/// All that `scope` sees, by name.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
) -> rusqlite::Result<Vec<Credential>> {
    let ids: Vec<CredentialId> = c
        .prepare_cached(
            "SELECT id FROM credentials WHERE (?1 IS NULL OR customer_id = ?1) AND (?2 IS NULL OR customer_id = ?2) ORDER BY name, id",
        )?
        .query_map((scope.customer(), customer), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        all.extend(get(c, scope, id)?);
    }
    Ok(all)
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(
    c: &Connection,
    scope: &Scope,
    id: CredentialId,
) -> rusqlite::Result<Option<Credential>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE c.id = ?2 AND (?3 IS NULL OR c.customer_id = ?3)"
    ))?
    .query_row((id.to_string(), id, scope.customer()), read)
    .optional()
}

fn place(customer: CustomerId, id: CredentialId) -> Place {
    Place {
        customer: Some(customer),
        record: id.uuid(),
        field: "credential",
    }
}

/// Makes one.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn create(
    c: &Connection,
    scope: &Scope,
    vault: &Vault,
    now: Timestamp,
    customer: CustomerId,
    site: Option<SiteId>,
    draft: Draft,
) -> rusqlite::Result<Outcome<CredentialId>> {
    if customers::get(c, scope, customer)?.is_none() {
        return Ok(Err(Refused::NotFound));
    }
    if let Some(site) = site {
        let site = found!(sites::get(c, scope, site)?);
        if site.customer_id != customer {
            return Ok(Err(Refused::NotFound));
        }
    }
    let draft = match draft.check() {
        Ok(draft) => draft,
        Err(refused) => return Ok(Err(refused)),
    };
    let id = CredentialId::generate();
    let detail = json!({ "name": draft.name, "kind": draft.kind, "site_id": site });
    audit::write(
        c,
        scope,
        now,
        &act("credential.create", &id, customer, detail),
    )?;
    let sealed = seal(vault, customer, id, &draft.secrets);
    c.execute(
        "INSERT INTO credentials (id, customer_id, site_id, name, kind, user_name, security_level, auth_protocol,
            priv_protocol, context_name, key_id, sealed, created_ms, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)",
        rusqlite::params![
            id,
            customer,
            site,
            draft.name,
            draft.kind,
            draft.user_name,
            draft.security_level,
            draft.auth_protocol,
            draft.priv_protocol,
            draft.context_name,
            sealed.key_id,
            sealed.bytes,
            now,
        ],
    )?;
    Ok(Ok(id))
}

/// Changes one: `edit` gets what is there now, secrets included, and gives what shall be.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn update(
    c: &Connection,
    scope: &Scope,
    vault: &Vault,
    now: Timestamp,
    id: CredentialId,
    edit: impl FnOnce(Draft) -> Draft,
) -> rusqlite::Result<Outcome<Vec<SiteId>>> {
    let before = found!(get(c, scope, id)?);
    let customer = CustomerId::from(before.customer_id);
    // Secrets of a replaced vault key cannot be read, but they can be written anew.
    let secrets = secrets(c, vault, customer, id)?.unwrap_or_default();
    let draft = Draft {
        name: before.name,
        kind: before.kind,
        user_name: before.user_name,
        security_level: before.security_level,
        auth_protocol: before.auth_protocol,
        priv_protocol: before.priv_protocol,
        context_name: before.context_name,
        secrets: secrets.clone(),
    };
    let draft = match edit(draft).check() {
        Ok(draft) => draft,
        Err(refused) => return Ok(Err(refused)),
    };
    let detail =
        json!({ "name": draft.name, "kind": draft.kind, "secrets": draft.secrets != secrets });
    audit::write(
        c,
        scope,
        now,
        &act("credential.update", &id, customer, detail),
    )?;
    let sealed = seal(vault, customer, id, &draft.secrets);
    c.execute(
        "UPDATE credentials SET name = ?2, kind = ?3, user_name = ?4, security_level = ?5, auth_protocol = ?6,
            priv_protocol = ?7, context_name = ?8, key_id = ?9, sealed = ?10, updated_ms = ?11 WHERE id = ?1",
        rusqlite::params![
            id,
            draft.name,
            draft.kind,
            draft.user_name,
            draft.security_level,
            draft.auth_protocol,
            draft.priv_protocol,
            draft.context_name,
            sealed.key_id,
            sealed.bytes,
            now,
        ],
    )?;
    let sites = using_sites(c, customer, id)?;
    for site in &sites {
        super::site_config::touch(c, *site)?;
    }
    Ok(Ok(sites))
}

/// Deletes one, and takes it out of the sites that try it.
///
/// # Errors
/// SQLite's.
pub fn delete(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: CredentialId,
) -> rusqlite::Result<Outcome<Vec<SiteId>>> {
    let credential = found!(get(c, scope, id)?);
    let customer = CustomerId::from(credential.customer_id);
    let sites = using_sites(c, customer, id)?;
    let detail = json!({ "name": credential.name });
    audit::write(
        c,
        scope,
        now,
        &act("credential.delete", &id, customer, detail),
    )?;
    for site in &sites {
        super::site_config::remove_credential(c, *site, id)?;
    }
    c.execute("DELETE FROM credentials WHERE id = ?1", [id])?;
    Ok(Ok(sites))
}

fn using_sites(
    c: &Connection,
    customer: CustomerId,
    id: CredentialId,
) -> rusqlite::Result<Vec<SiteId>> {
    c.prepare_cached(
        "SELECT s.site_id FROM site_configs s, json_each(s.document, '$.credential_ids') j
         WHERE s.customer_id = ?1 AND j.value = ?2",
    )?
    .query_map((customer, id.to_string()), |row| row.get(0))?
    .collect()
}

fn seal(vault: &Vault, customer: CustomerId, id: CredentialId, secrets: &Secrets) -> Sealed {
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(secrets).unwrap_or_default());
    vault.seal(place(customer, id), &plain)
}

/// Opens one's secrets, for the probe that pulls them and for [`update`]. `Err` says why they do not open.
///
/// # Errors
/// SQLite's.
pub(super) fn secrets(
    c: &Connection,
    vault: &Vault,
    customer: CustomerId,
    id: CredentialId,
) -> rusqlite::Result<Result<Secrets, OpenError>> {
    let sealed = c.query_row(
        "SELECT key_id, sealed FROM credentials WHERE id = ?1 AND customer_id = ?2",
        (id, customer),
        |row| {
            Ok(Sealed {
                key_id: row.get(0)?,
                bytes: row.get(1)?,
            })
        },
    )?;
    Ok(vault
        .unseal(place(customer, id), &sealed)
        .and_then(|plain| serde_json::from_slice(&plain).map_err(|_| OpenError::Tampered)))
}

fn act<'a>(
    action: &'static str,
    id: &'a CredentialId,
    customer: CustomerId,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "credential",
        object_id: id,
        customer: Some(customer),
        detail,
    }
}

//! Passwords: which ones are allowed, and their hashes (argon2id, 19 MiB, two passes: OWASP's first choice).

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Fewer characters are refused.
pub const SHORTEST: usize = 12;
/// More bytes are refused.
const LONGEST: usize = 1_024;
/// Hashes at one time: each takes 19 MiB and about 20 ms of a core.
const AT_ONCE: usize = 2;
/// Hashes that may wait; more are refused with "try again".
const WAITING: usize = 64;

/// Passwords of twelve characters and more that everybody tries first.
const COMMON: &str = include_str!("common_passwords.txt");

/// Why a password is not taken.
#[must_use]
pub fn objection(password: &str, user_name: &str) -> Option<&'static str> {
    if password.chars().count() < SHORTEST {
        return Some("at least 12 characters");
    }
    if password.len() > LONGEST {
        return Some("at most 1,024 bytes");
    }
    let lower = password.to_lowercase();
    let mut distinct: Vec<char> = lower.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 5 {
        return Some("too few different characters");
    }
    let user_name = user_name.to_lowercase();
    let bare: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    if COMMON
        .lines()
        .any(|common| common == lower || common == bare)
    {
        return Some("this is one of the passwords that everybody tries first");
    }
    if user_name.len() >= 4 && lower.contains(&user_name) {
        return Some("must not contain the user name");
    }
    None
}

/// Too many passwords wait to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many people sign in at once")]
pub struct HasherBusy;

/// Hashes and verifies off the async threads, a few at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hasher {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// With nobody waiting.
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// The hash to keep, in the PHC form.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn hash(&self, password: String) -> Result<String, HasherBusy> {
        let password = Zeroizing::new(password);
        self.off_thread(move || {
            let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).ok()?;
            argon2()
                .hash_password(password.as_bytes(), &salt)
                .ok()
                .map(|hash| hash.to_string())
        })
        .await?
        .ok_or(HasherBusy)
    }

    /// Whether `password` has this hash. Without a hash (no such user) it takes as long, and is false.
    ///
    /// # Errors
    /// [`HasherBusy`].
    pub async fn verify(&self, hash: Option<String>, password: String) -> Result<bool, HasherBusy> {
        let password = Zeroizing::new(password);
        self.off_thread(move || {
            let known = hash.is_some();
            let text = hash.unwrap_or_else(|| NOBODY.to_owned());
            let Ok(parsed) = PasswordHash::new(&text) else {
                return false;
            };
            let right = argon2()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok();
            right && known
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HasherBusy> {
        let _place = self.waiting.try_acquire().map_err(|_| HasherBusy)?;
        let _running = self.running.acquire().await.map_err(|_| HasherBusy)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| HasherBusy)
    }
}

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(19 * 1_024, 2, 1, None).expect("19 MiB, 2 passes, 1 lane are within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a password that nobody knows, with our parameters.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other() {
        let hasher = Hasher::new();
        let hash = hasher
            .hash("correct horse battery".to_owned())
            .await
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verify = |password: &str| hasher.verify(Some(hash.clone()), password.to_owned());
        assert!(verify("correct horse battery").await.unwrap());
        assert!(!verify("correct horse batterY").await.unwrap());
        assert!(!hasher.verify(None, String::new()).await.unwrap());
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        for weak in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "Password1234",
            "password-1234",
            "123456789012",
            "qwertyuiop12",
            "eva.muster-2026",
        ] {
            assert!(objection(weak, "eva.muster").is_some(), "{weak}");
        }
        assert_eq!(objection("tangerine kestrel 41", "eva"), None);
        assert_eq!(
            objection("äöüßéèêçñøåæ", "eva"),
            None,
            "twelve characters, not bytes"
        );
    }
}

//! Passwords: the rule for new ones, and Argon2id away from the async threads.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::Semaphore;

/// Fewest characters of a new password.
pub(crate) const PASSWORD_CHARS_MIN: usize = 10;
/// Most characters; longer ones would only be a way to keep the hasher busy.
pub(crate) const PASSWORD_CHARS_MAX: usize = 256;
/// Salt of a stored hash, in bytes.
const SALT_BYTES: usize = 16;
/// What a wrong account is compared with, so that it takes as long as a right one.
const DECOY_PASSWORD: &str = "no account has this password";

/// Long enough, and still among the first guesses of every attacker.
const COMMON: &[&str] = &[
    "1234567890",
    "0123456789",
    "12345678910",
    "123456789a",
    "1234567891",
    "9876543210",
    "0987654321",
    "1111111111",
    "0000000000",
    "1q2w3e4r5t",
    "1qaz2wsx3edc",
    "qwertyuiop",
    "qwerty12345",
    "qwerty123456",
    "qwertyuiop123",
    "asdfghjkl123",
    "password123",
    "password1234",
    "password12",
    "passwordpassword",
    "passw0rd123",
    "p@ssw0rd123",
    "iloveyou123",
    "iloveyou12",
    "letmein123",
    "letmein1234",
    "welcome123",
    "welcome1234",
    "administrator",
    "admin12345",
    "admin123456",
    "changeme123",
    "changemeplease",
    "abcdefghij",
    "abcdefghijk",
    "abc1234567",
    "abcd1234567",
    "football123",
    "baseball123",
    "superman123",
    "sunshine123",
    "princess123",
    "trustno1trustno1",
    "correcthorsebatterystaple",
    "qazwsxedcrfv",
    "zaq12wsxcde3",
    "q1w2e3r4t5y6",
    "aaaaaaaaaa",
    "michael123",
    "dragon12345",
    "monkey12345",
];

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    #[error("must have at least {PASSWORD_CHARS_MIN} characters")]
    Short,
    /// More than [`PASSWORD_CHARS_MAX`] characters.
    #[error("must have at most {PASSWORD_CHARS_MAX} characters")]
    Long,
    /// Among the passwords that everybody tries first.
    #[error("is one of the passwords that are guessed first")]
    Common,
    /// It is the account's e-mail address or the part before the `@`.
    #[error("must not be your e-mail address")]
    IsEmail,
}

/// Hashing failed, which is a fault of ours and never a wrong password.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The parameters, the stored hash or the random source are broken.
    #[error("the password hash could not be computed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The cost parameters are out of range.
    #[error("the cost of password hashing is out of range: {0}")]
    Params(argon2::Error),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] rand::rand_core::OsError),
    /// The thread that hashed was lost.
    #[error("the hashing thread was lost")]
    Thread(#[from] tokio::task::JoinError),
    /// The hasher was shut down.
    #[error("the password hasher is closed")]
    Closed(#[from] tokio::sync::AcquireError),
}

/// Checks a new password against the rule.
///
/// # Errors
/// Says which part of the rule it breaks.
pub(crate) fn check_new(password: &str, email_normalised: &str) -> Result<(), WeakPassword> {
    let chars = password.chars().count();
    if chars < PASSWORD_CHARS_MIN {
        return Err(WeakPassword::Short);
    }
    if chars > PASSWORD_CHARS_MAX {
        return Err(WeakPassword::Long);
    }
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    if COMMON.contains(&lower.as_str()) || lower.chars().all(|c| Some(c) == first) {
        return Err(WeakPassword::Common);
    }
    let local = email_normalised.split('@').next().unwrap_or_default();
    if lower == email_normalised || lower == local {
        return Err(WeakPassword::IsEmail);
    }
    Ok(())
}

/// What one Argon2id hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordCost {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Hashes that may be computed at once; the rest wait. Bounds memory and cores that sign-in can take.
    pub concurrent_max: usize,
}

impl Default for PasswordCost {
    /// OWASP's first choice for Argon2id: 19 MiB, two passes.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, concurrent_max: 2 }
    }
}

/// Hashes and verifies passwords on the blocking threads, a few at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    permits: Arc<Semaphore>,
    decoy: Arc<str>,
}

impl Hasher {
    /// Checks the cost and computes the decoy hash that unknown accounts are compared with.
    ///
    /// # Errors
    /// Where the cost is out of Argon2's range.
    pub(crate) fn new(cost: PasswordCost) -> Result<Self, HashError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(HashError::Params)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash_now(&argon2, DECOY_PASSWORD)?.into();
        Ok(Self { argon2, permits: Arc::new(Semaphore::new(cost.concurrent_max.max(1))), decoy })
    }

    /// Hashes a password as a PHC string.
    ///
    /// # Errors
    /// Where hashing itself fails.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, HashError> {
        let _permit = self.permits.acquire().await?;
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        tokio::task::spawn_blocking(move || hash_now(&argon2, &password)).await?
    }

    /// Whether the password is the stored one. Without a stored hash (no such account) the same work is
    /// done against a decoy, so that the time taken does not tell who has an account.
    ///
    /// # Errors
    /// Where hashing itself fails or the stored hash is broken.
    pub(crate) async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, HashError> {
        let _permit = self.permits.acquire().await?;
        let known = stored.is_some();
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let matches = tokio::task::spawn_blocking(move || verify_now(&argon2, &password, &stored)).await??;
        Ok(matches && known)
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    let mut salt = [0_u8; SALT_BYTES];
    OsRng.try_fill_bytes(&mut salt).map_err(HashError::Random)?;
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(HashError::Hash)?;
    Ok(hash.to_string())
}

fn verify_now(argon2: &Argon2<'_>, password: &str, stored: &str) -> Result<bool, HashError> {
    let stored = PasswordHash::new(stored).map_err(|error| HashError::Hash(error.into()))?;
    match argon2.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(HashError::Hash(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 64, passes: 1, concurrent_max: 2 };

    #[test]
    fn the_rule_for_new_passwords() {
        let check = |password: &str| check_new(password, "ada.lovelace@example.com");
        assert_eq!(check("short"), Err(WeakPassword::Short));
        assert_eq!(check(&"x1".repeat(129)), Err(WeakPassword::Long));
        assert_eq!(check("Password123"), Err(WeakPassword::Common));
        assert_eq!(check("zzzzzzzzzzzz"), Err(WeakPassword::Common));
        assert_eq!(check("Ada.Lovelace@example.com"), Err(WeakPassword::IsEmail));
        assert_eq!(check("ada.lovelace"), Err(WeakPassword::IsEmail));
        assert_eq!(check("a quiet evening walk"), Ok(()));
        assert_eq!(check("пароль-не-угадать"), Ok(()));
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_matches() {
        let hasher = Hasher::new(CHEAP).unwrap();
        let stored = hasher.hash("a quiet evening walk").await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(hasher.verify("a quiet evening walk", Some(&stored)).await.unwrap());
        assert!(!hasher.verify("another walk", Some(&stored)).await.unwrap());
        assert!(!hasher.verify(DECOY_PASSWORD, None).await.unwrap());
        assert!(hasher.verify("x", Some("not a hash")).await.is_err());
    }
}

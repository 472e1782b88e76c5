//! Tokens between systems: Ed25519 JWTs of at most 60 seconds.
//!
//! The edge turns a session or an API key into a token for one audience; business mints its own for the
//! work it does on someone's behalf. A system trusts a list of issuers by their public keys and believes
//! nothing else. Money is always checked again inside the hold, so a token only opens the door.

mod keys;

use std::collections::HashMap;
use std::time::Duration;

use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_time::{SharedClock, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use keys::{IssuerKey, KeyError, PublicKey};

/// Longest life of a token.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// Clocks of two machines may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// Verified tokens that are remembered, so that a signature is checked once and not at every call.
const VERIFIED_MAX: usize = 8_192;

/// Names of systems as audiences.
pub mod audience {
    /// Identity, mandates, storage, billing.
    pub const INFRASTRUCTURE: &str = "infrastructure";
    /// Tools, canvas, community.
    pub const BUSINESS: &str = "business";
    /// Jobs on models.
    pub const INFERENCE: &str = "inference";
    /// The company's numbers.
    pub const DATA: &str = "data";
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A person, by session or API key.
    Person,
    /// A system or a service account.
    Service,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed: a name in the verifier's list.
    pub iss: String,
    /// The one system that it is for.
    pub aud: String,
    /// The actor: a user id, or `service:NAME`.
    pub sub: String,
    /// The organisation that it acts in; empty for a service that acts in any.
    #[serde(default)]
    pub org: String,
    /// Person or service.
    pub kind: CallerKind,
    /// Session or API key that it was made from; empty for a service.
    #[serde(default)]
    pub credential: String,
    /// Of an API key; empty means everything that the actor may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// May see the operator's pages and the company's numbers.
    #[serde(default)]
    pub staff: bool,
    /// Version of the organisation's authority that the edge saw.
    #[serde(default)]
    pub mandate_version: i64,
    /// Unix seconds.
    pub exp: i64,
    /// Unix seconds.
    pub iat: i64,
    /// Set by the verifier from its list, never by the token: what the issuer's jobs belong to.
    #[serde(skip)]
    pub namespace: String,
}

impl Claims {
    /// Claims of a person, alive for [`TOKEN_LIFE`] from `now`. The signer fills in the issuer.
    #[must_use]
    pub fn person(audience: &str, user_id: &str, organisation_id: &str, now: Timestamp) -> Self {
        Self {
            iss: String::new(),
            aud: audience.to_owned(),
            sub: user_id.to_owned(),
            org: organisation_id.to_owned(),
            kind: CallerKind::Person,
            credential: String::new(),
            scopes: Vec::new(),
            staff: false,
            mandate_version: 0,
            exp: now.plus(TOKEN_LIFE).seconds(),
            iat: now.seconds(),
            namespace: String::new(),
        }
    }

    /// Claims of a system's own work, alive for [`TOKEN_LIFE`] from `now`.
    #[must_use]
    pub fn service(audience: &str, name: &str, now: Timestamp) -> Self {
        Self { kind: CallerKind::Service, ..Self::person(audience, &format!("service:{name}"), "", now) }
    }

    /// Whether it is a system that acts, and not a person.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.kind == CallerKind::Service
    }

    /// Whether the credential's scopes allow `scope`. No scopes: everything.
    #[must_use]
    pub fn allows_scope(&self, scope: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|held| held == scope || held == "*")
    }

    /// A problem unless a system acts.
    pub fn require_service(&self) -> Result<(), Problem> {
        if self.is_service() {
            return Ok(());
        }
        Err(Problem::new(&codes::FORBIDDEN, "Only other systems may call this; use the public API instead."))
    }

    /// A problem unless platform staff acts.
    pub fn require_staff(&self) -> Result<(), Problem> {
        if self.staff {
            return Ok(());
        }
        Err(Problem::new(
            &codes::FORBIDDEN,
            "Only the platform's staff may see this. Ask someone of the staff to give you access.",
        ))
    }
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token names an issuer that is not in the list.
    #[error("token issuer is not trusted")]
    UnknownIssuer,
    /// The issuer may not speak for this kind of caller.
    #[error("token issuer may not make tokens of this kind")]
    KindNotAllowed,
    /// Lives longer than is allowed.
    #[error("token lives longer than 60 seconds")]
    TooLong,
    /// Broken, expired, for another audience, or signed by someone else.
    #[error("token is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
}

/// Makes tokens under one issuer's name.
pub struct Signer {
    issuer: String,
    key: EncodingKey,
    clock: SharedClock,
    cached: Mutex<HashMap<String, (String, i64)>>,
}

impl Signer {
    /// A signer that writes `issuer` into its tokens.
    #[must_use]
    pub fn new(issuer: &str, key: &IssuerKey, clock: SharedClock) -> Self {
        Self { issuer: issuer.to_owned(), key: key.encoding(), clock, cached: Mutex::default() }
    }

    /// The clock that it dates tokens by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Signs the claims under this signer's name.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let claims = Claims { iss: self.issuer.clone(), ..claims.clone() };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.key)?)
    }

    /// A token for this system's own calls to `audience`, signed again when half of its life is over.
    pub fn service_token(&self, audience: &str) -> Result<String, TokenError> {
        let now = self.clock.now();
        let half_life = TOKEN_LIFE.as_secs() as i64 / 2;
        if let Some((token, exp)) = self.cached.lock().get(audience)
            && exp - now.seconds() > half_life
        {
            return Ok(token.clone());
        }
        let claims = Claims::service(audience, &self.issuer, now);
        let token = self.sign(&claims)?;
        self.cached.lock().insert(audience.to_owned(), (token.clone(), claims.exp));
        Ok(token)
    }
}

/// An issuer that a system believes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens.
    pub name: String,
    /// Its Ed25519 public key, 32 bytes in base64.
    pub public_key: PublicKey,
    /// What kinds of caller it may speak for.
    pub kinds: Vec<CallerKind>,
    /// Namespace of its jobs in inference.
    #[serde(default)]
    pub namespace: String,
}

/// Believes tokens for one audience.
pub struct Verifier {
    audience: String,
    issuers: HashMap<String, (DecodingKey, TrustedIssuer)>,
    clock: SharedClock,
    verified: Mutex<HashMap<[u8; 32], Claims>>,
}

impl Verifier {
    /// A verifier for `audience` that believes `issuers`.
    #[must_use]
    pub fn new(audience: &str, issuers: Vec<TrustedIssuer>, clock: SharedClock) -> Self {
        let issuers = issuers
            .into_iter()
            .map(|issuer| (issuer.name.clone(), (issuer.public_key.decoding(), issuer)))
            .collect();
        Self { audience: audience.to_owned(), issuers, clock, verified: Mutex::default() }
    }

    /// What the token says, where it can be believed now.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let now = self.clock.now().seconds();
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.verified.lock().get(&digest)
            && claims.exp > now
        {
            return Ok(claims.clone());
        }
        let claims = self.check_signature(token, now)?;
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, claims| claims.exp > now);
        }
        if verified.len() < VERIFIED_MAX {
            verified.insert(digest, claims.clone());
        }
        Ok(claims)
    }

    fn check_signature(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        // The issuer's name only selects the key; nothing is believed before the signature holds.
        let claimed: Claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token)?.claims;
        let (key, issuer) = self.issuers.get(&claimed.iss).ok_or(TokenError::UnknownIssuer)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&issuer.name]);
        // Expiry is checked below against our own clock.
        validation.validate_exp = false;
        let claims: Claims = jsonwebtoken::decode(token, key, &validation)?.claims;
        let skew = CLOCK_SKEW.as_secs() as i64;
        if claims.exp <= now || claims.iat > now + skew {
            return Err(
                jsonwebtoken::errors::new_error(jsonwebtoken::errors::ErrorKind::ExpiredSignature).into()
            );
        }
        if claims.exp - claims.iat > TOKEN_LIFE.as_secs() as i64 {
            return Err(TokenError::TooLong);
        }
        if !issuer.kinds.contains(&claims.kind) {
            return Err(TokenError::KindNotAllowed);
        }
        Ok(Claims { namespace: issuer.namespace.clone(), ..claims })
    }
}

#[cfg(test)]
mod tests {
    use backlot_foundation_time::{Clock as _, ManualClock};

    use super::*;

    fn pair(kinds: Vec<CallerKind>) -> (Signer, Verifier, std::sync::Arc<ManualClock>) {
        let key = IssuerKey::generate();
        let clock = ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000));
        let issuer = TrustedIssuer {
            name: "edge".into(),
            public_key: key.public(),
            kinds,
            namespace: "studio".into(),
        };
        let verifier = Verifier::new("inference", vec![issuer], clock.clone());
        (Signer::new("edge", &key, clock.clone()), verifier, clock)
    }

    #[test]
    fn a_token_is_believed_until_it_expires() {
        let (signer, verifier, clock) = pair(vec![CallerKind::Person]);
        let token = signer.sign(&Claims::person("inference", "u", "o", clock.now())).unwrap();
        assert_eq!(verifier.verify(&token).unwrap().namespace, "studio");
        clock.advance(TOKEN_LIFE);
        assert!(verifier.verify(&token).is_err());
    }

    #[test]
    fn another_audience_another_kind_and_a_stranger_are_refused() {
        let (signer, verifier, clock) = pair(vec![CallerKind::Person]);
        let other = signer.sign(&Claims::person("business", "u", "o", clock.now())).unwrap();
        assert!(matches!(verifier.verify(&other), Err(TokenError::Invalid(_))));
        let service = signer.service_token("inference").unwrap();
        assert!(matches!(verifier.verify(&service), Err(TokenError::KindNotAllowed)));
        let stranger = Signer::new("edge", &IssuerKey::generate(), clock.clone());
        let forged = stranger.sign(&Claims::person("inference", "u", "o", clock.now())).unwrap();
        assert!(matches!(verifier.verify(&forged), Err(TokenError::Invalid(_))));
        let unknown = Signer::new("mallory", &IssuerKey::generate(), clock.clone());
        let unknown = unknown.sign(&Claims::person("inference", "u", "o", clock.now())).unwrap();
        assert!(matches!(verifier.verify(&unknown), Err(TokenError::UnknownIssuer)));
    }

    #[test]
    fn a_long_life_is_refused() {
        let (signer, verifier, clock) = pair(vec![CallerKind::Person]);
        let mut claims = Claims::person("inference", "u", "o", clock.now());
        claims.exp += 1;
        assert!(matches!(verifier.verify(&signer.sign(&claims).unwrap()), Err(TokenError::TooLong)));
    }

    #[test]
    fn a_key_file_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/edge.key");
        let first = IssuerKey::load_or_create(&path).unwrap();
        let second = IssuerKey::load_or_create(&path).unwrap();
        assert_eq!(first.public(), second.public());
    }
}

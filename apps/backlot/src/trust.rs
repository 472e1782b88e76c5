//! Which issuer may speak for whom. Each has a key pair in the keys folder: `NAME.key` where it signs,
//! `NAME.pub` wherever it is believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backlot_foundation_time::SharedClock;
use backlot_foundation_tokens::{CallerKind, IssuerKey, Signer, TrustedIssuer, Verifier};

/// The namespace of the studio's own jobs.
const STUDIO: &str = "studio";

/// Issuers of the product and the kinds of caller that each may speak for.
const ISSUERS: &[(&str, &[CallerKind])] = &[
    // Turns sessions and keys into tokens of persons, and asks identity in its own name.
    ("edge", &[CallerKind::Person, CallerKind::Service]),
    // Does the work of runs on behalf of organisations.
    ("business", &[CallerKind::Service]),
    // Follows everybody's events.
    ("data", &[CallerKind::Service]),
    // The operator's command line.
    ("admin", &[CallerKind::Service]),
];

/// The keys folder of this process.
pub(crate) struct Trust {
    folder: PathBuf,
    clock: SharedClock,
    extra: Vec<TrustedIssuer>,
}

impl Trust {
    /// Trust by the keys in `folder`; `extra` issuers are believed by inference alone.
    pub(crate) fn new(folder: &Path, clock: SharedClock, extra: Vec<TrustedIssuer>) -> Self {
        Self { folder: folder.to_owned(), clock, extra }
    }

    /// Makes the key pairs that are missing: for a process that serves everything, and for `admin keys`.
    pub(crate) fn create_all(&self) -> anyhow::Result<()> {
        for (name, _) in ISSUERS {
            let key = IssuerKey::load_or_create(&self.folder.join(format!("{name}.key")))?;
            let public = self.folder.join(format!("{name}.pub"));
            std::fs::write(&public, format!("{}\n", key.public()))
                .with_context(|| format!("cannot write {}", public.display()))?;
        }
        Ok(())
    }

    /// Signs as `issuer`.
    pub(crate) fn signer(&self, issuer: &str) -> anyhow::Result<Arc<Signer>> {
        let path = self.folder.join(format!("{issuer}.key"));
        anyhow::ensure!(
            path.is_file(),
            "the key of issuer \"{issuer}\" is missing: {} (make all keys with: backlot admin keys --out DIR)",
            path.display()
        );
        Ok(Arc::new(Signer::new(issuer, &IssuerKey::load_or_create(&path)?, self.clock.clone())))
    }

    /// Believes our issuers for `audience`; inference believes the configured ones too.
    pub(crate) fn verifier(&self, audience: &str) -> anyhow::Result<Arc<Verifier>> {
        let mut issuers = Vec::new();
        for (name, kinds) in ISSUERS {
            let path = self.folder.join(format!("{name}.pub"));
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("the public key of issuer \"{name}\" cannot be read: {}", path.display())
            })?;
            let public_key = text.parse().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            issuers.push(TrustedIssuer {
                name: (*name).to_owned(),
                public_key,
                kinds: kinds.to_vec(),
                namespace: STUDIO.to_owned(),
            });
        }
        if audience == backlot_foundation_tokens::audience::INFERENCE {
            issuers.extend(self.extra.iter().cloned());
        }
        Ok(Arc::new(Verifier::new(audience, issuers, self.clock.clone())))
    }
}

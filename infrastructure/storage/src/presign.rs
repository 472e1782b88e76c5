//! Addresses for one PUT of exactly so many bytes, at a store of the S3 protocol.
//!
//! What the library signs names no length, so that whoever holds the address may send anything. Signature Version 4
//! takes any header in: with `content-length` among the signed ones the store refuses another length before it reads
//! the body. Browsers and programs send that header by themselves. Pure: the time is an argument.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::config::S3Config;

/// How a signature of this protocol is called.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Headers that the signature covers, in their order.
const SIGNED_HEADERS: &str = "content-length;host";

/// The address `of` an object, without a query, as one at which exactly `size` bytes can be PUT until `ttl` is over.
pub(crate) fn bounded_put(of: &Url, bucket: &S3Config, size: u64, now: Timestamp, ttl: Duration) -> Url {
    let (date, moment) = times(now);
    let scope = format!("{date}/{}/s3/aws4_request", bucket.signing_region());
    let parameters = [
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", format!("{}/{scope}", bucket.access_key)),
        ("X-Amz-Date", moment.clone()),
        ("X-Amz-Expires", ttl.as_secs().to_string()),
        ("X-Amz-SignedHeaders", SIGNED_HEADERS.to_owned()),
    ];
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let query = query.join("&");
    let host = match (of.host_str().unwrap_or_default(), of.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let request = format!(
        "PUT\n{}\n{query}\ncontent-length:{size}\nhost:{host}\n\n{SIGNED_HEADERS}\nUNSIGNED-PAYLOAD",
        of.path()
    );
    let text = format!("{ALGORITHM}\n{moment}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let signature = hex::encode(mac(&signing_key(bucket, &date), text.as_bytes()));
    let mut signed = of.clone();
    signed.set_query(Some(&format!("{query}&X-Amz-Signature={signature}")));
    signed
}

/// The day and the moment as the protocol writes them: `20261123` and `20261123T181500Z`.
fn times(now: Timestamp) -> (String, String) {
    let text = Timestamp::from_micros(now.seconds() * 1_000_000).to_string();
    let moment: String = text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    (moment.chars().take(8).collect(), moment)
}

fn signing_key(bucket: &S3Config, date: &str) -> [u8; 32] {
    let first = mac(format!("AWS4{}", bucket.secret_key).as_bytes(), date.as_bytes());
    let region = mac(&first, bucket.signing_region().as_bytes());
    mac(&mac(&region, b"s3"), b"aws4_request")
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    // A key of any length is taken, so that this cannot fail; an empty MAC would only ever be refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Everything but letters, digits and `-_.~` in per cent; no value here has a space or a `*`.
fn encoded(value: &str) -> String {
    byte_serialize(value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol's published example of a signing key, and an address that was worked out by hand with another
    /// implementation.
    #[test]
    fn it_signs_as_the_protocol_says() {
        let bucket = S3Config {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            ..S3Config::default()
        };
        let now = Timestamp::parse("2026-11-23T18:15:07.5Z").unwrap();
        assert_eq!(times(now), ("20261123".to_owned(), "20261123T181507Z".to_owned()));
        let of = Url::parse("https://s3.example:9000/media/uploads/o/a").unwrap();
        let signed = bounded_put(&of, &bucket, 1_000, now, Duration::from_secs(60));
        assert_eq!(signed.as_str(), EXPECTED);
        let other = bounded_put(&of, &bucket, 1_001, now, Duration::from_secs(60));
        assert_ne!(other, signed, "the length is signed");
    }

    const EXPECTED: &str = "https://s3.example:9000/media/uploads/o/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credentia\
        l=AKIDEXAMPLE%2F20261123%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261123T181507Z&X-Amz\
        -Expires=60&X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=1e0609c9dd6152a8c43c\
        0b2dfe9ccbd62fdeb04ccbc2a72525135ece58618b17";
}

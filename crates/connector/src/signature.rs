//! The one signature check: HMAC-SHA256 over raw bytes, compared in constant time, and what belongs to it.
//!
//! A connector names the parts that its vendor signs, in order and exactly as received; nothing is parsed or
//! re-encoded before. During a rotation several secrets are active: try each, one match is enough.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secret::Secret;

/// Bytes of an HMAC-SHA256.
const LENGTH: usize = 32;

/// Padding may be missing: some senders cut it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The HMAC-SHA256 of the parts, joined without anything between them.
#[must_use]
pub fn hmac_sha256(secret: &Secret, parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose())
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether `given`, in base64 of the standard alphabet, is the signature of the parts.
#[must_use]
pub fn matches_base64(secret: &Secret, parts: &[&[u8]], given: &str) -> bool {
    decode_base64(given).is_some_and(|given| matches(secret, parts, &given))
}

/// Whether `given`, in hexadecimal digits of either case, is the signature of the parts.
#[must_use]
pub fn matches_hex(secret: &Secret, parts: &[&[u8]], given: &str) -> bool {
    decode_hex(given).is_some_and(|given| matches(secret, parts, &given))
}

/// Whether two instants are at most `tolerance` apart, in either direction.
#[must_use]
pub fn within(now: Timestamp, then: Timestamp, tolerance: SignedDuration) -> bool {
    now.duration_since(then).abs() <= tolerance
}

/// Decodes base64 of the standard alphabet, padded or not: for secrets and credentials that travel so.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Names content by its bytes: 32 hexadecimal digits of SHA-256, as id or revision where a sender gives none.
/// Parts are length-prefixed, so ("ab","c") and ("a","bc") differ. Not keyed: proves nothing about the sender.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The signature's length is public; only its bytes must not leak through time.
fn matches(secret: &Secret, parts: &[&[u8]], given: &[u8]) -> bool {
    given.len() == LENGTH && bool::from(hmac_sha256(secret, parts).ct_eq(given))
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * LENGTH {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 4231, test case 2: key "Jefe".
    const RFC_4231_2: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn secret(value: &str) -> Secret {
        Secret::new(value)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn fm_033_published_hmac_vectors_hold() {
        let jefe = secret("Jefe");
        assert_eq!(hex(&hmac_sha256(&jefe, &[b"what do ya want ", b"for nothing?"])), RFC_4231_2);
        assert!(matches_hex(&jefe, &[b"what do ya want for nothing?"], RFC_4231_2));
        assert!(matches_hex(&jefe, &[b"what do ya want for nothing?"], &RFC_4231_2.to_uppercase()));

        // RFC 4231, test case 6: a key longer than the hash's block.
        let long = Secret::new(vec![0xaa; 131]);
        let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(
            hex(&hmac_sha256(&long, &[b"Test Using Larger Than Block-Size Key - Hash Key First"])),
            expected
        );

        // The example of the Standard Webhooks reference libraries.
        let key = Secret::new(decode_base64("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let parts: [&[u8]; 3] =
            [b"msg_p5jXN8AQM9LWM0D4loKWxJek", b".1614265330.", br#"{"test": 2432232314}"#];
        assert!(matches_base64(&key, &parts, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn fm_033_one_changed_byte_of_body_or_spacing_is_refused() {
        let jefe = secret("Jefe");
        for body in [
            "what do ya want for nothing? ",
            "What do ya want for nothing?",
            "",
            "what do ya want for nothing",
        ] {
            assert!(!matches_hex(&jefe, &[body.as_bytes()], RFC_4231_2), "accepted {body:?}");
        }
    }

    #[test]
    fn fm_034_only_a_whole_well_formed_signature_passes() {
        let jefe = secret("Jefe");
        let body: &[u8] = b"what do ya want for nothing?";
        let full = BASE64.encode(hmac_sha256(&jefe, &[body]));
        assert!(matches_base64(&jefe, &[body], &full));
        assert!(matches_base64(&jefe, &[body], full.trim_end_matches('=')), "padding may be cut");
        for cut in (0..full.len() - 1).filter(|cut| full.is_char_boundary(*cut)) {
            assert!(!matches_base64(&jefe, &[body], &full[..cut]), "a prefix of {cut} characters passed");
        }
        for cut in 0..RFC_4231_2.len() {
            assert!(!matches_hex(&jefe, &[body], &RFC_4231_2[..cut]), "a prefix of {cut} digits passed");
        }
        for index in 0..RFC_4231_2.len() {
            let mut wrong = RFC_4231_2.to_owned().into_bytes();
            wrong[index] = if wrong[index] == b'0' { b'1' } else { b'0' };
            assert!(
                !matches_hex(&jefe, &[body], std::str::from_utf8(&wrong).unwrap()),
                "digit {index} is not compared"
            );
        }
        for odd in [
            "",
            "=",
            "é",
            "====",
            "zz",
            &"ß".repeat(32),
            &"g".repeat(64),
            &format!("{full}{full}"),
            &format!(" {full}"),
        ] {
            assert!(!matches_base64(&jefe, &[body], odd));
            assert!(!matches_hex(&jefe, &[body], odd));
        }
    }

    #[test]
    fn fm_035_any_active_secret_is_accepted_and_a_retired_one_is_not() {
        let (old, new, retired) = (secret("old"), secret("new"), secret("retired"));
        let active = [old.clone(), new.clone()];
        let accepted = |signer: &Secret| {
            let given = BASE64.encode(hmac_sha256(signer, &[b"body"]));
            active.iter().any(|secret| matches_base64(secret, &[b"body"], &given))
        };
        assert!(accepted(&old) && accepted(&new));
        assert!(!accepted(&retired));
    }

    #[test]
    fn fm_035_tolerance_holds_in_both_directions() {
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let tolerance = SignedDuration::from_mins(5);
        let at = |seconds: i64| Timestamp::from_second(1_614_265_330 + seconds).unwrap();
        for (offset, holds) in [
            (0, true),
            (-240, true),
            (240, true),
            (-300, true),
            (300, true),
            (-301, false),
            (301, false),
            (-2_592_000, false),
        ] {
            assert_eq!(within(now, at(offset), tolerance), holds, "{offset} s");
        }
        assert!(!within(Timestamp::MAX, Timestamp::MIN, tolerance));
    }

    #[test]
    fn fingerprints_keep_the_borders_of_parts() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
        assert_eq!(fingerprint(&[]).len(), 32);
    }
}

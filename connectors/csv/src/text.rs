//! Bytes of a file as text: encodings, and the way back from a place in the text to the place in the file.
//!
//! Windows-1252 and UTF-8 share the ASCII bytes that delimit rows and cells, so such a file is cut into rows as it is
//! and each row is decoded by itself: UTF-8 where it is valid, Windows-1252 otherwise. That needs no look ahead and
//! reads files that were pasted together. UTF-16 is transcoded before.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use usher_connector::Files;

/// How a file's bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8, and Windows-1252 for each row that is no valid UTF-8.
    Bytes,
    /// Windows-1252 throughout.
    Windows1252,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

/// The encoding of a file that starts with `head`, and the length of its byte order mark, which wins over settings.
pub(crate) fn detect(head: &[u8], configured: Option<Encoding>) -> (Encoding, u64) {
    match head {
        [0xEF, 0xBB, 0xBF, ..] => (Encoding::Bytes, 3),
        [0xFF, 0xFE, ..] => (Encoding::Utf16Le, 2),
        [0xFE, 0xFF, ..] => (Encoding::Utf16Be, 2),
        _ => (configured.unwrap_or_else(|| guess(head)), 0),
    }
}

/// Text of Latin letters in UTF-16 has a zero in every other byte; no 8-bit text has zeros.
fn guess(head: &[u8]) -> Encoding {
    let sample = &head[..head.len().min(512) / 2 * 2];
    let zeros = |start: usize| sample.iter().skip(start).step_by(2).filter(|byte| **byte == 0).count();
    let (high_first, low_first) = (zeros(0), zeros(1));
    let most = sample.len() / 4;
    if sample.len() >= 4 && low_first > most && high_first == 0 {
        Encoding::Utf16Le
    } else if sample.len() >= 4 && high_first > most && low_first == 0 {
        Encoding::Utf16Be
    } else {
        Encoding::Bytes
    }
}

/// A piece of a file.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The piece: as in the file for 8-bit encodings, in UTF-8 for UTF-16.
    pub(crate) text: Vec<u8>,
    /// Whether the file ends with this piece.
    pub(crate) at_end: bool,
    encoding: Encoding,
    start: u64,
    raw: u64,
}

impl Chunk {
    /// Reads at most `limit` bytes from `start`.
    pub(crate) fn read(
        files: &dyn Files,
        path: &Path,
        start: u64,
        limit: usize,
        encoding: Encoding,
    ) -> io::Result<Self> {
        let bytes = files.read(path, start, limit)?;
        let (at_end, raw) = (bytes.len() < limit, bytes.len() as u64);
        let text = match encoding {
            Encoding::Bytes | Encoding::Windows1252 => bytes,
            Encoding::Utf16Le | Encoding::Utf16Be => transcode(&bytes, encoding, at_end),
        };
        Ok(Self { text, at_end, encoding, start, raw })
    }

    /// The place in the file of a place in the text.
    pub(crate) fn offset(&self, place: usize) -> u64 {
        if self.at_end && place >= self.text.len() {
            return self.start + self.raw;
        }
        let before = &self.text[..place.min(self.text.len())];
        let length = match self.encoding {
            Encoding::Bytes | Encoding::Windows1252 => before.len(),
            Encoding::Utf16Le | Encoding::Utf16Be => {
                2 * String::from_utf8_lossy(before).encode_utf16().count()
            }
        };
        self.start + length as u64
    }

    /// The texts of one row, all decoded the same way.
    pub(crate) fn decode<'a>(&self, cells: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<Cow<'a, str>> {
        let utf8: Option<Vec<_>> = match self.encoding {
            Encoding::Windows1252 => None,
            _ => cells.clone().map(|cell| std::str::from_utf8(cell).ok().map(Cow::from)).collect(),
        };
        utf8.unwrap_or_else(|| cells.map(|cell| WINDOWS_1252.decode_without_bom_handling(cell).0).collect())
    }
}

fn transcode(bytes: &[u8], encoding: Encoding, at_end: bool) -> Vec<u8> {
    let mut whole = &bytes[..bytes.len() / 2 * 2];
    let high = usize::from(encoding == Encoding::Utf16Le);
    // Half of a pair of surrogates waits for its other half.
    if let [.., a, b] = whole
        && !at_end
        && (0xD8..0xDC).contains(if high == 1 { b } else { a })
    {
        whole = &whole[..whole.len() - 2];
    }
    let charset = if encoding == Encoding::Utf16Le { UTF_16LE } else { UTF_16BE };
    charset.decode_without_bom_handling(whole).0.into_owned().into_bytes()
}

//! Masking: no secret in what a person, a log or a journal gets to see, however a program dressed it up.
//!
//! Why it exists: secrets go to a step by stdin only, but programs echo what they were given: in an error, in `set -x`, in
//! JSON, in a URL. Invariant: whatever comes out of [`Masker::push`] holds no form of a secret (see [`forms`]), also not
//! when it came in pieces; and nothing is held back that can't be the beginning of one, so never more than the longest
//! form less one byte.
//!
//! Not found: a secret inside something that was encoded as a whole (`user:secret` in base64), cut in two by the program
//! itself, or encrypted. A playbook should not print those.

mod forms;

pub use forms::forms;

use std::fmt;
use std::sync::Arc;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Masks one stream. A clone shares the secrets, but begins a stream of its own.
pub struct Masker {
    known: Arc<Known>,
    /// The end of what came in, as it may be the beginning of a secret.
    held: Vec<u8>,
}

#[derive(Default)]
struct Known {
    /// Longest first, so that of two secrets that begin alike the longer goes.
    forms: Vec<Vec<u8>>,
    /// For each byte the forms that begin with it, in the same order.
    by_first: Vec<Vec<usize>>,
}

impl Clone for Masker {
    fn clone(&self) -> Self {
        Masker { known: Arc::clone(&self.known), held: Vec::new() }
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} forms, {} bytes held)", self.known.forms.len(), self.held.len())
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.forms.iter_mut().for_each(crate::secret::wipe);
    }
}

impl Default for Masker {
    fn default() -> Self {
        Masker::new([] as [&[u8]; 0])
    }
}

impl Masker {
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Masker {
        let mut all: Vec<Vec<u8>> = secrets.into_iter().flat_map(|s| forms(s.as_ref())).collect();
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        let mut by_first = Vec::new();
        if !all.is_empty() {
            by_first.resize(256, Vec::new());
            for (i, form) in all.iter().enumerate() {
                by_first[usize::from(form[0])].push(i);
            }
        }
        Masker { known: Arc::new(Known { forms: all, by_first }), held: Vec::new() }
    }

    /// What can be shown now of all that came in.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.known.forms.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        let rest = if self.held.is_empty() {
            self.known.mask(bytes, false, &mut out)
        } else {
            self.held.extend_from_slice(bytes);
            let joined = std::mem::take(&mut self.held);
            let rest = self.known.mask(&joined, false, &mut out);
            self.held = joined[rest..].to_vec();
            return out;
        };
        self.held.extend_from_slice(&bytes[rest..]);
        out
    }

    /// The stream has ended: what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.known.mask(&std::mem::take(&mut self.held), true, &mut out);
        out
    }

    /// A whole text at once; the stream is not touched.
    pub fn mask_all(&self, text: &str) -> String {
        if self.known.forms.is_empty() {
            return text.to_string();
        }
        let mut out = Vec::with_capacity(text.len());
        self.known.mask(text.as_bytes(), true, &mut out);
        // Forms of a secret that is not UTF-8 may begin in the middle of a character.
        String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// How much may be held back at most.
    pub fn most_held(&self) -> usize {
        self.known.forms.first().map_or(0, |f| f.len() - 1)
    }
}

impl Known {
    /// Appends the masked text to `out`; where the rest begins that must wait for more. Nothing waits at the `end`.
    fn mask(&self, text: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        if self.by_first.is_empty() {
            out.extend_from_slice(text);
            return text.len();
        }
        let (mut at, mut shown) = (0, 0);
        'text: while at < text.len() {
            let rest = &text[at..];
            for &i in &self.by_first[usize::from(rest[0])] {
                let form = &self.forms[i];
                if rest.starts_with(form) {
                    out.extend_from_slice(&text[shown..at]);
                    out.extend_from_slice(MASK.as_bytes());
                    at += form.len();
                    shown = at;
                    continue 'text;
                }
                // A longer form may yet come of it: it goes before a shorter one that is here already.
                if !end && form.starts_with(rest) {
                    out.extend_from_slice(&text[shown..at]);
                    return at;
                }
            }
            at += 1;
        }
        out.extend_from_slice(&text[shown..]);
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in pieces of this size.
    fn streamed(masker: &Masker, text: &[u8], size: usize) -> Vec<u8> {
        let mut masker = masker.clone();
        let mut out = Vec::new();
        for piece in text.chunks(size) {
            out.extend(masker.push(piece));
            assert!(masker.held.len() <= masker.most_held(), "held {} bytes", masker.held.len());
        }
        out.extend(masker.finish());
        assert!(masker.held.is_empty());
        out
    }

    #[test]
    fn a_secret_is_masked_at_every_chunk_border() {
        let masker = Masker::new([&b"s3cret word"[..], b"s3cr"]);
        let text = b"s3cr s3cret s3cret words3cret word, s3cre s3c";
        let wanted = "*** ***et ******, ***e s3c";
        assert_eq!(masker.mask_all(std::str::from_utf8(text).expect("ASCII")), wanted);
        for size in 1..=text.len() {
            assert_eq!(String::from_utf8_lossy(&streamed(&masker, text, size)), wanted, "in pieces of {size}");
        }
        for border in 0..=text.len() {
            let mut masker = masker.clone();
            let mut out = masker.push(&text[..border]);
            out.extend(masker.push(&text[border..]));
            out.extend(masker.finish());
            assert_eq!(String::from_utf8_lossy(&out), wanted, "cut at {border}");
        }
    }

    #[test]
    fn every_form_is_masked_at_every_chunk_border() {
        let secret = b"it's \"50%\" & $HOME\\`x`/\xc3\xbc+\n!";
        let masker = Masker::new([secret]);
        for form in forms(secret) {
            let text = [b"<", &form[..], b">"].concat();
            for size in 1..=text.len() {
                assert_eq!(
                    streamed(&masker, &text, size),
                    b"<***>",
                    "{:?} in pieces of {size}",
                    String::from_utf8_lossy(&form)
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_shown_at_once() {
        let mut masker = Masker::new(["password"]);
        assert_eq!(masker.push(b"passport, pass"), b"passport, ");
        assert_eq!(masker.push(b"ing"), b"passing");
        assert_eq!(masker.push(b" the passwor"), b" the ");
        assert_eq!(masker.push(b"d"), b"***");
        assert_eq!(masker.finish(), b"");
    }

    #[test]
    fn a_secret_that_repeats_itself_is_found() {
        let masker = Masker::new(["aaab"]);
        for size in 1..9 {
            assert_eq!(streamed(&masker, b"aaaaaabaa", size), b"aaa***aa", "in pieces of {size}");
        }
    }

    #[test]
    fn without_secrets_everything_goes_through_at_once() {
        let mut masker = Masker::default();
        assert_eq!(masker.push(b"\xff\0x"), b"\xff\0x");
        assert_eq!(masker.finish(), b"");
        assert_eq!(masker.mask_all("x"), "x");
        assert_eq!(Masker::new([""]).mask_all("x"), "x");
    }

    #[test]
    fn a_masker_never_shows_what_it_masks() {
        assert_eq!(format!("{:?}", Masker::new(["hunter22"])), "Masker(4 forms, 0 bytes held)");
    }

    #[test]
    fn random_texts_never_show_a_secret() {
        // A small generator of its own: the same texts on every machine.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut roll = |n: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % n
        };
        for _ in 0..2_000 {
            let word = |roll: &mut dyn FnMut(u64) -> u64, n: u64| -> Vec<u8> {
                (0..4 + roll(n)).map(|_| b"ab'\""[roll(4) as usize]).collect()
            };
            let secrets = [word(&mut roll, 4), word(&mut roll, 4)];
            let masker = Masker::new(&secrets);
            let text = word(&mut roll, 60);
            let whole = streamed(&masker, &text, text.len());
            let pieces = streamed(&masker, &text, 1 + roll(7) as usize);
            assert_eq!(whole, pieces);
            for secret in &secrets {
                assert!(!pieces.windows(secret.len()).any(|w| w == secret), "{secret:?} in {pieces:?}");
            }
        }
    }
}

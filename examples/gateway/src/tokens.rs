//! Who may connect, and subscribe to what: a file with a line for each client. What does not live here: what the exchange's
//! controller decides beyond that.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use squall_kernel::keys::KeyPattern;

/// Clients in one file at most: each one that connects is compared with all of them.
const CLIENTS_MAX: usize = 10_000;
/// Shortest token, in bytes: shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// A client that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    patterns: Vec<KeyPattern>,
}

impl Known {
    /// True when everything that the pattern matches is covered by what the client may have.
    pub(crate) fn may_have(&self, asked: &KeyPattern) -> bool {
        self.patterns.iter().any(|allowed| covers(allowed, asked))
    }
}

/// The clients by their tokens. Tokens are shown nowhere.
pub(crate) struct Tokens(Vec<(Vec<u8>, Known)>);

impl Tokens {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
        Self::parse(&text).with_context(|| format!("{shown}"))
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let clients = lines.map(|(n, line)| client(line).with_context(|| format!("line {n}")));
        let clients: Vec<_> = clients.collect::<Result<_>>()?;
        if clients.len() > CLIENTS_MAX {
            bail!("{} clients, at most {CLIENTS_MAX} are taken", clients.len());
        }
        Ok(Self(clients))
    }

    /// The client with that token. Takes as long for a wrong one as for a right one of the same length.
    pub(crate) fn of(&self, token: &str) -> Option<&Known> {
        let mut found = None;
        for (known, client) in &self.0 {
            if same(known, token.as_bytes()) {
                found = Some(client);
            }
        }
        found
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn client(line: &str) -> Result<(Vec<u8>, Known)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [token, name, patterns] = words[..] else {
        bail!("a line has a token, a name, and patterns with commas between them");
    };
    if token.len() < TOKEN_BYTES_MIN {
        bail!("the token of '{name}' has less than {TOKEN_BYTES_MIN} bytes");
    }
    let patterns = patterns.split(',').map(|pattern| {
        KeyPattern::new(pattern).with_context(|| format!("'{pattern}', which '{name}' may have"))
    });
    let known = Known {
        name: name.to_owned(),
        patterns: patterns.collect::<Result<_>>()?,
    };
    Ok((token.as_bytes().to_vec(), known))
}

/// True when every key that `asked` matches is matched by `allowed`. Where that is hard to tell, it says no. `reach[j]` says
/// whether the segments of `allowed` so far cover the first `j` ones of `asked`.
fn covers(allowed: &KeyPattern, asked: &KeyPattern) -> bool {
    let asked: Vec<&str> = asked.as_str().split('.').collect();
    let mut reach = vec![false; asked.len() + 1];
    reach[0] = true;
    for segment in allowed.as_str().split('.') {
        let before = reach.clone();
        for j in 0..=asked.len() {
            reach[j] = match segment {
                "#" => before[..=j].contains(&true),
                _ if j == 0 => false,
                "*" => before[j - 1] && asked[j - 1] != "#",
                exact => before[j - 1] && asked[j - 1] == exact,
            };
        }
    }
    reach[asked.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_covers_all_that_is_asked() {
        let table = [
            ("weather.#", "weather.#", true),
            ("weather.#", "weather.north.*", true),
            ("weather.#", "weather", true),
            ("weather.*", "weather.#", false),
            ("weather.*", "weather.north", true),
            ("weather.*", "weather.*", true),
            ("weather.*", "weather", false),
            ("weather.north", "weather.*", false),
            ("#", "#", true),
            ("#.a", "b.#.a", true),
            ("#.a", "b.#", false),
            ("*.*", "#", false),
            ("a.#.b", "a.x.y.b", true),
        ];
        for (allowed, asked, expected) in table {
            let [allowed_pattern, asked_pattern] =
                [allowed, asked].map(|p| KeyPattern::new(p).expect("a pattern"));
            assert_eq!(
                covers(&allowed_pattern, &asked_pattern),
                expected,
                "{allowed} and {asked}"
            );
        }
    }

    #[test]
    fn a_file_is_read_line_by_line_and_what_is_wrong_is_named_without_the_token() {
        let good = "# who may have what\n\n0123456789abcdef alice weather.#,sport.*\n";
        let tokens = Tokens::parse(good).expect("a good file");
        let alice = tokens.of("0123456789abcdef").expect("known");
        assert_eq!(alice.name, "alice");
        assert!(alice.may_have(&KeyPattern::new("sport.tennis").expect("a pattern")));
        assert!(!alice.may_have(&KeyPattern::new("#").expect("a pattern")));
        assert!(tokens.of("0123456789abcdeX").is_none() && tokens.of("").is_none());
        for (wrong, words) in [
            ("short alice a", "line 1: the token of 'alice'"),
            ("0123456789abcdef alice", "line 1: a line has a token"),
            (
                "\n0123456789abcdef bob a..b",
                "line 2: 'a..b', which 'bob' may have",
            ),
        ] {
            let error = format!("{:#}", Tokens::parse(wrong).err().expect(wrong));
            assert!(error.starts_with(words) && !error.contains("0123"), "{error}");
        }
    }
}

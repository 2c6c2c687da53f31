//! The words of a filter.

use super::FilterError;

/// A relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    Differs,
    Less,
    AtMost,
    More,
    AtLeast,
    /// `~`.
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Open,
    Close,
    And,
    Or,
    Not,
    Op(Op),
    /// A bare word.
    Word(&'a str),
    /// Between quotation marks.
    Quoted(&'a str),
}

/// Where a word begins, and what it is.
pub(crate) type Placed<'a> = (usize, Token<'a>);

/// Cuts a text into words.
pub(crate) fn words(text: &str) -> Result<Vec<Placed<'_>>, FilterError> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let blanks = rest.len() - rest.trim_start().len();
        rest = &rest[blanks..];
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(all);
        };
        let (token, len) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '"' => {
                let Some(end) = rest[1..].find('"') else {
                    return Err(FilterError::Expected {
                        at: text.len(),
                        wanted: "a closing '\"'",
                    });
                };
                (Token::Quoted(&rest[1..=end]), end + 2)
            }
            _ => relation(rest).unwrap_or_else(|| word(rest)),
        };
        all.push((at, token));
        rest = &rest[len..];
    }
}

fn relation(rest: &str) -> Option<(Token<'_>, usize)> {
    // Longer ones first; a lone '!' is `not`.
    let table = [
        ("!=", Op::Differs),
        ("<=", Op::AtMost),
        (">=", Op::AtLeast),
        ("=", Op::Equal),
        ("~", Op::Contains),
    ];
    let found = table.into_iter().find(|(sign, _)| rest.starts_with(sign));
    if let Some((sign, op)) = found {
        return Some((Token::Op(op), sign.len()));
    }
    if rest.starts_with('!') {
        return Some((Token::Not, 1));
    }
    // A pid is written in angle brackets: `<b.17>` is a word, `< 17` is not.
    let pid = rest.starts_with('<') && rest[1..].starts_with(|c: char| !c.is_whitespace()) && is_pid(rest);
    match rest.chars().next() {
        Some('<') if !pid => Some((Token::Op(Op::Less), 1)),
        Some('>') => Some((Token::Op(Op::More), 1)),
        _ => None,
    }
}

fn is_pid(rest: &str) -> bool {
    let inside = rest[1..].split('>').next().unwrap_or_default();
    inside.len() + 1 < rest.len() && inside.contains('.') && !inside.contains(char::is_whitespace)
}

fn word(rest: &str) -> (Token<'_>, usize) {
    let ends = |c: char| c.is_whitespace() || "()=!~<>\"".contains(c);
    let len = if rest.starts_with('<') {
        rest.find('>').map_or(rest.len(), |end| end + 1)
    } else {
        rest.find(ends).unwrap_or(rest.len())
    };
    let word = &rest[..len];
    let token = if word.eq_ignore_ascii_case("and") {
        Token::And
    } else if word.eq_ignore_ascii_case("or") {
        Token::Or
    } else if word.eq_ignore_ascii_case("not") {
        Token::Not
    } else {
        Token::Word(word)
    };
    (token, len)
}

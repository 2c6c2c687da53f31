//! From words to an expression: `or` binds least, then `and`, then `not`.

use super::lex::{Op, Placed, Token, words};
use super::{DEPTH_MAX, Expression, FILTER_BYTES_MAX, Field, Filter, FilterError, Kind, units};

/// Parses a filter; `in_part` takes fields that are not among these for ones that are not known here.
pub(crate) fn filter(text: &str, fields: &[Field], in_part: bool) -> Result<Filter, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong { bytes: text.len() });
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(FilterError::ControlCharacter { at });
    }
    let words = words(text)?;
    match words.as_slice() {
        [] => return Ok(Filter::default()),
        [(_, Token::Not)] => return Err(FilterError::NothingToInvert),
        _ => {}
    }
    let mut parser = Parser {
        text,
        words: &words,
        next: 0,
        fields,
        in_part,
    };
    let expression = parser.either(0)?;
    match parser.peek() {
        None => Ok(Filter {
            expression: Some(expression),
        }),
        Some((at, _)) => Err(FilterError::Expected {
            at,
            wanted: "'and', 'or' or the end",
        }),
    }
}

struct Parser<'a> {
    text: &'a str,
    words: &'a [Placed<'a>],
    next: usize,
    fields: &'a [Field],
    in_part: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Placed<'a>> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Placed<'a>> {
        let word = self.peek();
        self.next += 1;
        word
    }

    /// Takes the next word if it is that one.
    fn takes(&mut self, token: Token<'_>) -> bool {
        let is = self.peek().is_some_and(|(_, next)| next == token);
        self.next += usize::from(is);
        is
    }

    fn either(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut left = self.both(depth)?;
        while self.takes(Token::Or) {
            let right = self.both(depth)?;
            left = Expression::Or(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn both(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut left = self.one(depth)?;
        while self.takes(Token::And) {
            let right = self.one(depth)?;
            left = Expression::And(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Expression, FilterError> {
        if depth > DEPTH_MAX {
            return Err(FilterError::TooDeep);
        }
        let wanted = "a field, a text or '('";
        let Some((at, token)) = self.take() else {
            let at = self.text.len();
            return Err(FilterError::Expected { at, wanted });
        };
        match token {
            Token::Not => Ok(Expression::Not(Box::new(self.one(depth + 1)?))),
            Token::Open => {
                let inner = self.either(depth + 1)?;
                if self.takes(Token::Close) {
                    return Ok(inner);
                }
                let at = self.peek().map_or(self.text.len(), |(at, _)| at);
                let wanted = "')'";
                Err(FilterError::Expected { at, wanted })
            }
            Token::Quoted(text) => Ok(Expression::Contains(text.to_lowercase())),
            Token::Word(word) => match self.peek() {
                Some((_, Token::Op(op))) => {
                    self.next += 1;
                    self.comparison(word, op)
                }
                _ => Ok(self.phrase(at, word)),
            },
            Token::Close | Token::And | Token::Or | Token::Op(_) => Err(FilterError::Expected { at, wanted }),
        }
    }

    /// Bare words in a row are one text, as they were typed.
    fn phrase(&mut self, from: usize, first: &str) -> Expression {
        let mut end = from + first.len();
        while let Some((at, Token::Word(word))) = self.peek() {
            let compared = matches!(self.words.get(self.next + 1), Some((_, Token::Op(_))));
            if compared {
                break;
            }
            end = at + word.len();
            self.next += 1;
        }
        Expression::Contains(self.text[from..end].to_lowercase())
    }

    fn comparison(&mut self, name: &str, op: Op) -> Result<Expression, FilterError> {
        let value = match self.take() {
            Some((_, Token::Word(value) | Token::Quoted(value))) => value,
            other => {
                let at = other.map_or(self.text.len(), |(at, _)| at);
                let wanted = "a value";
                return Err(FilterError::Expected { at, wanted });
            }
        };
        let place = self.fields.iter().position(|field| field.is_called(name));
        let Some(field) = place else {
            return if self.in_part {
                Ok(Expression::Unknown)
            } else {
                Err(self.no_field(name))
            };
        };
        self.compared(field, op, value)
    }

    fn compared(&self, place: usize, op: Op, value: &str) -> Result<Expression, FilterError> {
        let field = self.fields[place];
        let refused = || FilterError::Compared {
            field: field.name,
            why: units::wanted(field.kind),
        };
        match (field.kind, op) {
            (Kind::Text, Op::Equal | Op::Differs | Op::Contains) => Ok(Expression::Text {
                field: place,
                op,
                pattern: value.to_lowercase(),
            }),
            (Kind::Text, _) | (_, Op::Contains) => Err(refused()),
            (kind, _) => Ok(Expression::Number {
                field: place,
                op,
                value: units::number(value, kind).ok_or_else(refused)?,
            }),
        }
    }

    fn no_field(&self, name: &str) -> FilterError {
        let known: Vec<String> = self
            .fields
            .iter()
            .map(|field| {
                let own = field.name.split(" (").next().unwrap_or(field.name);
                own.replace(' ', "-").to_lowercase()
            })
            .collect();
        FilterError::NoField {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }
}

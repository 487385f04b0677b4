//! The header of a `.npy` file: a Python dict literal of three keys, read and written.

use crate::{DType, Error, ErrorKind, Limits, Result};

/// What the header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// NumPy's kind and width for each type; complex numbers, strings and objects have none.
const TYPES: &[(&str, DType)] = &[
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("f2", DType::F16),
    ("u1", DType::U8),
    ("i1", DType::I8),
    ("u2", DType::U16),
    ("i2", DType::I16),
    ("u4", DType::U32),
    ("i4", DType::I32),
    ("u8", DType::U64),
    ("i8", DType::I64),
    ("b1", DType::Bool),
];

/// The `descr` of a type, with the byte order: `<f4`, `|u1`.
pub(super) fn descr(dtype: DType) -> Option<String> {
    let (code, _) = TYPES.iter().find(|(_, known)| *known == dtype)?;
    let order = if dtype.size() == Some(1) { '|' } else { '<' };
    Some(format!("{order}{code}"))
}

fn from_descr(descr: &str) -> Option<(DType, bool)> {
    let (order, code) = descr.split_at_checked(1)?;
    let dtype = TYPES.iter().find(|(known, _)| *known == code)?.1;
    match order {
        "<" => Some((dtype, false)),
        ">" => Some((dtype, true)),
        "|" if dtype.size() == Some(1) => Some((dtype, false)),
        _ => None,
    }
}

/// Reads the dict; positions in errors count from the start of the header.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Header> {
    let mut parser = Parser { text, at: 0 };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    parser.expect("{")?;
    while !parser.eat("}") {
        let key = parser.string()?;
        parser.expect(":")?;
        match key {
            "descr" => descr = Some(parser.string()?),
            "fortran_order" => fortran_order = Some(parser.boolean()?),
            "shape" => shape = Some(parser.tuple(limits.rank)?),
            _ => return Err(parser.wrong(format!("unknown key `{}`", key.escape_debug()))),
        }
        if !parser.eat(",") {
            parser.expect("}")?;
            break;
        }
    }
    let missing =
        |key: &str| Error::new(ErrorKind::Malformed, format!("the key `{key}` is missing"));
    let descr = descr.ok_or_else(|| missing("descr"))?;
    let (dtype, big_endian) = from_descr(descr).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("elements of type `{}`", descr.escape_debug()))
            .hint("save floats, integers or booleans of 1, 2, 4 or 8 bytes")
    })?;
    Ok(Header {
        dtype,
        big_endian,
        fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
    })
}

/// A cursor over the dict that skips blanks before each token.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.wrong(format!("expected `{token}`"))) }
    }

    fn wrong(&self, what: String) -> Error {
        Error::new(ErrorKind::Malformed, what).within(format!("character {}", self.at))
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.eat("'") { '\'' } else { self.expect("\"").map(|()| '"')? };
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (inside, _) =
            rest.split_once(quote).ok_or_else(|| self.wrong("a string has no end".into()))?;
        self.at += inside.len() + 1;
        Ok(inside)
    }

    fn boolean(&mut self) -> Result<bool> {
        if self.eat("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn tuple(&mut self, rank_limit: usize) -> Result<Vec<usize>> {
        let mut dimensions = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            Limits::check("rank", dimensions.len() as u64 + 1, rank_limit as u64)?;
            dimensions.push(self.integer()?);
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(dimensions)
    }

    fn integer(&mut self) -> Result<usize> {
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..digits).and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| self.wrong("expected a dimension".into()))?;
        self.at += digits;
        Ok(number)
    }
}

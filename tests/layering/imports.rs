//! Just enough of Rust's grammar to find what a file imports: tokens without comments and literals, modules written
//! inside the file, and paths that start at the crate's root or climb with `super`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

/// A word, `::`, or one other character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Counted from 1.
    pub line: usize,
    pub text: &'a str,
}

/// A path below the crate's root, as far as it can be known from the file alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The length of the comment, string or character that `source` starts with; 0 if it starts with none.
fn skipped(source: &str) -> usize {
    let end = |at: Option<usize>, length: usize| at.map_or(source.len(), |at| at + length);
    if source.starts_with("//") {
        return end(source.find('\n'), 0);
    }
    if source.starts_with("/*") {
        return block_comment(source);
    }
    let raw = source.trim_start_matches(['b', 'c']);
    let raw = raw.strip_prefix('r').unwrap_or("");
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if source.len() - raw.len() <= 2 && raw[hashes..].starts_with('"') {
        let opening = source.len() - raw.len() + hashes + 1;
        let closing = format!("\"{}", "#".repeat(hashes));
        return end(source[opening..].find(&closing), opening + closing.len());
    }
    let quote = source.as_bytes()[0];
    let escaped = source.as_bytes().get(1) == Some(&b'\\');
    let lifetime = quote == b'\'' && !escaped && source.chars().nth(2) != Some('\'');
    if (quote != b'"' && quote != b'\'') || lifetime {
        return 0;
    }
    let mut escape = false;
    for (at, byte) in source.bytes().enumerate().skip(1) {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    source.len()
}

/// The length of a block comment, others inside it included.
fn block_comment(source: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < source.len() {
        let rest = &source.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The tokens of a source file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let skip = skipped(&source[at..]);
        let word = bytes[at..].iter().take_while(|b| is_word(**b)).count();
        let length = match (skip, word) {
            (0, 0) if source[at..].starts_with("::") => 2,
            (0, 0) => 1,
            (0, word) => word,
            (skip, _) => skip,
        };
        let text = &source[at..at + length];
        if skip == 0 && !text.trim().is_empty() {
            found.push(Token { line, text });
        }
        line += text.matches('\n').count();
        at += length;
    }
    found
}

/// Collects the paths of the tree at token `at`, each behind `prefix`; returns the place after it.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Import>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
    let line = tokens.get(at).map_or(0, |t| t.line);
    if text(at) == "{" {
        at += 1;
        while at < tokens.len() && text(at) != "}" {
            at = if text(at) == "," { at + 1 } else { tree(tokens, at, prefix, found) };
        }
        return at + 1;
    }
    let mut path = prefix.to_vec();
    if text(at) != "self" && text(at) != "*" {
        path.push(text(at).to_owned());
    }
    let next = text(at + 2);
    if text(at + 1) == "::" && (next == "{" || next == "*" || next.bytes().all(is_word)) {
        return tree(tokens, at + 2, &path, found);
    }
    found.push(Import { line, path });
    if text(at + 1) == "as" { at + 3 } else { at + 1 }
}

/// Everything that the file of module `home` names by a path from the crate's root or through `super`.
pub fn imports(tokens: &[Token], home: &[String]) -> Vec<Import> {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
    let (mut found, mut depth) = (Vec::new(), 0_usize);
    // Modules written inside the file, each with the depth of its braces.
    let mut inside: Vec<(&str, usize)> = Vec::new();
    for at in 0..tokens.len() {
        let starts_path = text(at + 1) == "::" && (at == 0 || text(at - 1) != "::");
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inside.pop_if(|(_, opened)| *opened == depth);
            }
            "mod" if text(at + 2) == "{" => inside.push((text(at + 1), depth)),
            "crate" | "formant" if starts_path => {
                tree(tokens, at + 2, &[], &mut found);
            }
            "super" if starts_path => {
                let inner = inside.iter().map(|(name, _)| (*name).to_owned());
                let mut module: Vec<String> = home.iter().cloned().chain(inner).collect();
                let mut next = at;
                while text(next) == "super" {
                    module.pop();
                    next += 2;
                }
                tree(tokens, next, &module, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// The names that the crate's root re-exports, and the paths they stand for.
pub fn reexports(tokens: &[Token]) -> BTreeMap<String, Vec<String>> {
    let mut found = Vec::new();
    for at in 1..tokens.len() {
        if tokens[at].text == "use" && tokens[at - 1].text == "pub" {
            tree(tokens, at + 1, &[], &mut found);
        }
    }
    found.into_iter().filter_map(|import| Some((import.path.last()?.clone(), import.path))).collect()
}

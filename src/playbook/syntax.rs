//! TOML's own mistakes, in words for people.
//!
//! Why it exists: a parser says what it expected; a person wants to know what they did. Invariant: every message gets a
//! place inside the text; one that is not known here is passed on as it is.

use std::ops::Range;

/// Place, cause, hint.
pub(crate) fn words(error: &toml::de::Error, text: &str) -> (Range<usize>, String, Option<String>) {
    let span = error.span().unwrap_or(0..0);
    let span = span.start.min(text.len())..span.end.min(text.len());
    let there = text.get(span.clone()).unwrap_or("");
    let known = |message: &str, hint: &str| (message.to_string(), (!hint.is_empty()).then(|| hint.to_string()));
    let no_value = || known("a key without a value", "after `=` comes a value: `\"text\"`, `3`, `true`, `[ … ]`");
    let raw = error.message();
    for quotes in ["'''", "\"\"\""] {
        let kind = if quotes == "'''" { "multi-line literal string" } else { "multi-line basic string" };
        // Told where it begins, not where the file ends.
        if let (true, Some(start)) = (raw.starts_with(&format!("invalid {kind}")), text[..span.start].rfind(quotes)) {
            let hint = format!("it ends with another `{quotes}`");
            return (start..start + 3, format!("a text that begins with `{quotes}` is not closed"), Some(hint));
        }
    }
    let cause = raw.split_once(", expected ").map_or(raw, |(cause, _)| cause);
    let (message, hint) = match cause {
        "duplicate key" if text[..span.start].ends_with('[') => {
            known(&format!("the table `{there}` stands twice"), "write what is below this header under the first one")
        }
        "duplicate key" if !there.is_empty() => known(
            &format!("`{there}` stands twice in one table"),
            "a key stands once; does a header such as `[[activate.step]]` miss between the two?",
        ),
        "string values must be quoted" if there.is_empty() => no_value(),
        "string values must be quoted" => known("a text without quotes", &format!("write `\"{there}\"`")),
        "missing value" | "missing value for key" => no_value(),
        "key with no value" => known("a key without `=` and a value", "write `key = \"value\"`"),
        "missing assignment between key-value pairs" => {
            known("`=` is missing", "write `key = \"value\"`; does a quote or a comma miss before?")
        }
        "extra `=`" | "extra assignment between key-value pairs" => known("one `=` too many", ""),
        "unclosed table" => known("a header without its `]`", "`[inputs]`, `[nodes.NAME]`"),
        "unclosed array table" => known("a header without its `]]`", "`[[activate]]`, `[[activate.step]]`"),
        "unclosed array" => known("a list without its `]`", "`[\"a\", \"b\"]`"),
        "unclosed inline table" => known("a table without its `}`", "`{ key = \"value\" }`"),
        "missing comma between array elements" => known("a comma is missing in a list", "`[\"a\", \"b\"]`"),
        "missing comma between key-value pairs" => known("a comma is missing in a table", "`{ a = \"1\", b = \"2\" }`"),
        "extra comma in array" | "extra comma in inline table" => known("one comma too many", ""),
        "unexpected `=` in array" => known("`=` in a list", "a list has values only; a table is `{ key = \"value\" }`"),
        "invalid unquoted key" => known(
            "a key with a character that needs quotes",
            "letters, digits, `-` and `_` need none; else `\"the key\" = …`",
        ),
        "unquoted keys cannot be empty" | "missing key for inline table element" => known("a key is missing", ""),
        "unexpected key or value" | "unexpected content" | "unexpected content between comment and newline" => known(
            "something stands here that does not belong",
            "one key, `=` and value a line; does a quote miss before?",
        ),
        "invalid value" | "invalid key-value pair" | "invalid inline table element" => {
            known("this is no value", "`\"text\"`, `3`, `true`, `[ … ]`, `{ … }`")
        }
        "invalid basic string" | "invalid literal string" => {
            known("a text that is not closed", "it ends, on the same line, with the quote it begins with")
        }
        "missing opening quote" => known("a quote is missing", ""),
        "missing escaped value" => known(
            "`\\` and this character mean nothing together",
            "in `\"…\"` a backslash is written `\\\\`; in `'…'` it is itself",
        ),
        "carriage return must be followed by newline" => {
            known("a lone carriage return", "save the file with plain line ends")
        }
        "cannot recurse further; max recursion depth met" | "recursion limit" => known("nested too deeply", ""),
        "unexpected leading zero" => known("a number with a leading zero", "write it without, or as a text in quotes"),
        _ => (raw.to_string(), None),
    };
    (span, message, hint)
}

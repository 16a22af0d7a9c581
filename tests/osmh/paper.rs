//! A plan as a person follows it from paper: each code block in order, on the host that stands above it.
//!
//! Why it exists: `--format md` is for the day on which hawiz is not at hand; whether it then leads to the same state can only
//! be known by doing what it says and nothing else. Invariant: a box's change is made only when the look above it is not true.

/// One code block below a box.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line above it, up to its first bracket: `must be true:`, `change:`.
    pub label: String,
    /// Who does it: a node's name, or `this machine`.
    #[allow(dead_code, reason = "on one machine it makes no difference")]
    pub place: String,
    pub code: String,
}

/// What is put in front in every shell.
pub fn head(md: &str) -> String {
    let from = md.find("```sh\n").expect("functions stand first") + 6;
    md[from..from + md[from..].find("\n```").expect("it ends")].to_string()
}

/// The code blocks below boxes, in order.
pub fn blocks(md: &str) -> Vec<Block> {
    let (mut out, mut label, mut lines) = (Vec::new(), String::new(), md.lines());
    // Of the stage, and of the box where the stage has several.
    let (mut stage, mut place) = (String::new(), String::new());
    while let Some(line) = lines.next() {
        if line == "  ```sh" {
            let code: Vec<&str> =
                lines.by_ref().take_while(|l| *l != "  ```").map(|l| l.get(2..).unwrap_or_default()).collect();
            out.push(Block { label: label.clone(), place: place.clone(), code: code.join("\n") });
            continue;
        }
        if let Some(under) = line.strip_prefix('*').and_then(|l| l.strip_suffix('*')).filter(|l| !l.contains('*')) {
            stage = under.rsplit(" · ").next().unwrap_or_default().to_string();
        }
        if line.starts_with("- [ ] **") {
            let own = line.split_once("** (on ").and_then(|(_, more)| more.split([',', ')']).next());
            place = own.map_or(stage.clone(), String::from);
        }
        label = line.trim().split(" (").next().unwrap_or_default().to_string();
    }
    out
}

/// Does what the paper says: looks until it is true, changes what is not so. `run` takes a place and a script, and says whether
/// the script was content; `until` waits until it is.
pub fn follow(md: &str, run: impl Fn(&str, &str) -> Result<(), String>, until: impl Fn(&str, &dyn Fn() -> bool)) {
    let mut skip = false;
    for block in blocks(md) {
        let run = || run(&block.place, &format!("{}\nset -eu\n{}\n", head(md), block.code));
        match block.label.as_str() {
            "must be true:" => until(&block.code, &|| run().is_ok()),
            l if l.starts_with("nothing to do when this is true") => skip = run().is_ok(),
            "change:" if !skip => run().unwrap_or_else(|why| panic!("{}\n{why}", block.code)),
            _ => {}
        }
    }
}

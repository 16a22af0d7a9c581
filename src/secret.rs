//! Secrets: where they come from, and that they go nowhere else.
//!
//! Why it exists: a step may need a password that must not be in a plan, an event, a log, an argument, an environment or a
//! file of hawiz. Invariant: a [`Secret`] shows itself to nobody but through [`Secret::expose`] (stdin of a step, and the
//! masker); its bytes are wiped when it is dropped; no message here holds one.
//!
//! Sources, in this order: `$HAWIZ_SECRET_NAME`, the site's command (its first line), a person.
//!
//! The variable can't be taken out of this process's own environment safely (that is unsafe beside threads, and the kernel
//! keeps showing it), so every child is started without it: transports leave out [`env_names`].

use crate::problem::{Exit, Fatal};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// Shorter ones would mask half of what is shown, and are no secrets.
const SHORTEST: usize = 4;
/// How long the site's command may take: it may wait for a person's key, but not for ever.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Prompt,
    Env,
    Command(Vec<String>),
}

/// A secret's bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Refuses what is too short to be one; `name` is for the message.
    pub fn new(name: &str, bytes: Vec<u8>) -> Result<Secret, Fatal> {
        let secret = Secret(bytes);
        let length = String::from_utf8_lossy(&secret.0).chars().count();
        if length < SHORTEST {
            return Err(Fatal::new(
                Exit::Usage,
                format!(
                    "the secret `{name}` is shorter than {SHORTEST} characters: it can't be kept out of what is shown"
                ),
            ));
        }
        Ok(secret)
    }
    /// The bytes: for the stdin of a step, and for [`crate::mask::Masker`]. For nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}
impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::mask::MASK)
    }
}

/// Overwrites bytes that are about to be freed.
pub(crate) fn wipe(bytes: &mut Vec<u8>) {
    bytes.fill(0);
    // Otherwise the compiler may leave the writing out: nobody reads it.
    std::hint::black_box(&*bytes);
}

/// The variable a secret may come in: upper case, what is no letter or digit is `_`.
pub fn env_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("HAWIZ_SECRET_{}", name.chars().map(plain).collect::<String>())
}

/// The variables that no child of hawiz may inherit.
pub fn env_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(|n| env_name(n.as_ref())).collect()
}

/// Where this secret will come from.
pub fn source(secret: &crate::plan::Secret, env: impl Fn(&str) -> Option<OsString>) -> Source {
    if env(&env_name(&secret.name)).is_some() {
        return Source::Env;
    }
    match &secret.argv {
        Some(argv) => Source::Command(argv.clone()),
        None => Source::Prompt,
    }
}

/// Gets a secret from its source; `ask` is called with the question when a person has to say it.
pub fn get(
    secret: &crate::plan::Secret,
    env: impl Fn(&str) -> Option<OsString>,
    ask: impl FnOnce(&str) -> Result<Vec<u8>, Fatal>,
) -> Result<Secret, Fatal> {
    let name = &secret.name;
    let bytes = match source(secret, &env) {
        Source::Env => env(&env_name(name)).unwrap_or_default().into_vec(),
        Source::Command(argv) => told(name, &argv)?,
        Source::Prompt => ask(&secret.prompt)?,
    };
    Secret::new(name, bytes)
}

/// The first line that the site's command prints.
fn told(name: &str, argv: &[String]) -> Result<Vec<u8>, Fatal> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Fatal::new(Exit::Usage, format!("the command of the secret `{name}` is empty")));
    };
    // Only the program is named: arguments may say more than they should.
    let failed = |why: String| {
        Fatal::new(Exit::NotReady, format!("the secret `{name}` could not be had from `{program}`: {why}"))
            .hint(format!("or give it in `${}`", env_name(name)))
    };
    let mut command = duct::cmd(program, arguments).stdin_null().stdout_capture().stderr_capture().unchecked();
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("HAWIZ_SECRET_") {
            command = command.env_remove(variable);
        }
    }
    let handle = command.start().map_err(|e| failed(e.to_string()))?;
    match handle.wait_timeout(DEADLINE) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let _ = handle.kill();
            return Err(failed(format!("it did not end within {} s", DEADLINE.as_secs())));
        }
        Err(e) => return Err(failed(e.to_string())),
    }
    let mut output = handle.into_output().map_err(|e| failed(e.to_string()))?;
    let end = output.stdout.iter().position(|b| *b == b'\n').unwrap_or(output.stdout.len());
    let line = &output.stdout[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    if output.status.success() && !line.is_empty() {
        wipe(&mut output.stdout);
        return Ok(line);
    }
    let mut why = match output.status.code() {
        Some(0) => "it printed nothing".to_string(),
        Some(code) => format!("exit code {code}"),
        None => "it was killed by a signal".to_string(),
    };
    // It may have printed the secret and failed all the same.
    let hide: Vec<&[u8]> = output.stdout.split(|b| *b == b'\n').filter(|l| l.len() >= SHORTEST).collect();
    let said = crate::mask::Masker::new(hide).mask_all(&String::from_utf8_lossy(&output.stderr));
    if let Some(said) = said.lines().map(str::trim).rfind(|l| !l.is_empty()) {
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        why += &format!(": {said}");
    }
    wipe(&mut output.stdout);
    Err(failed(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(argv: Option<&[&str]>) -> crate::plan::Secret {
        crate::plan::Secret {
            name: "db-password".into(),
            prompt: "Password of the database".into(),
            argv: argv.map(|a| a.iter().map(|s| s.to_string()).collect()),
        }
    }
    fn nothing(_: &str) -> Option<OsString> {
        None
    }
    fn nobody(_: &str) -> Result<Vec<u8>, Fatal> {
        panic!("nobody was to be asked")
    }
    fn from_sh(script: &str) -> Result<Secret, Fatal> {
        get(&spec(Some(&["sh", "-c", script])), nothing, nobody)
    }

    #[test]
    fn the_variable_comes_before_the_command_and_that_before_a_person() {
        let env = |n: &str| (n == "HAWIZ_SECRET_DB_PASSWORD").then(|| OsString::from("from env"));
        let both = spec(Some(&["echo", "from command"]));
        assert_eq!(get(&both, env, nobody).expect("set").expose(), b"from env");
        assert_eq!(get(&both, nothing, nobody).expect("printed").expose(), b"from command");
        let asked = get(&spec(None), nothing, |prompt| Ok(prompt.as_bytes()[..8].to_vec()));
        assert_eq!(asked.expect("typed").expose(), b"Password");
    }

    #[test]
    fn only_the_first_line_of_the_command_counts() {
        assert_eq!(from_sh("printf 'hunter22\\r\\nlogin: x\\n'").expect("printed").expose(), b"hunter22");
        assert_eq!(from_sh("printf hunter22").expect("printed").expose(), b"hunter22");
    }

    #[test]
    fn a_short_secret_is_refused_without_being_said() {
        let error = get(&spec(None), nothing, |_| Ok(b"abc".to_vec())).expect_err("too short");
        assert_eq!(error.exit, Exit::Usage);
        assert!(!error.to_string().contains("abc"), "{error}");
        let umlauts = get(&spec(None), nothing, |_| Ok("\u{fc}\u{fc}\u{fc}".into()));
        assert!(umlauts.is_err(), "three characters in six bytes");
    }

    #[test]
    fn a_failing_command_says_why_but_never_the_secret() {
        let error = from_sh("echo hunter22; echo 'cannot store hunter22' >&2; exit 7").expect_err("it failed");
        assert_eq!(error.exit, Exit::NotReady);
        assert_eq!(
            error.to_string(),
            "the secret `db-password` could not be had from `sh`: exit code 7: cannot store ***\n  \
             hint: or give it in `$HAWIZ_SECRET_DB_PASSWORD`"
        );
        assert!(from_sh("true").expect_err("nothing").message.ends_with("it printed nothing"));
        assert!(from_sh("kill -9 $$").expect_err("killed").message.ends_with("it was killed by a signal"));
        assert!(get(&spec(Some(&["/does/not/exist"])), nothing, nobody).is_err());
        assert_eq!(get(&spec(Some(&[])), nothing, nobody).expect_err("no program").exit, Exit::Usage);
    }

    #[test]
    fn the_commands_stdin_is_empty() {
        assert!(from_sh("read x && echo got $x").expect_err("no input").message.ends_with("exit code 1"));
    }

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("x", b"hunter22".to_vec()).expect("long enough");
        assert_eq!(format!("{secret} {secret:?}"), "*** Secret(***)");
    }

    #[test]
    fn variables_have_plain_names() {
        assert_eq!(env_names(["db-password", "x"]), ["HAWIZ_SECRET_DB_PASSWORD", "HAWIZ_SECRET_X"]);
    }
}

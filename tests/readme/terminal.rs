//! A terminal of 80 columns to run a program on: what a person sees of it, and keys typed at its prompts.
//!
//! Why it exists: the README's picture must be what is left on the screen, not what was sent to it: progress lines are drawn
//! over. Invariant: it knows just what hawiz draws with; a sequence that it does not know fails the test.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is on the screen and has scrolled off it.
#[derive(Default)]
pub struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// An escape sequence that has not ended yet.
    begun: Option<String>,
    bytes: Vec<u8>,
}

impl Screen {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(_) => self.bytes.len(),
            Err(e) => e.valid_up_to(),
        };
        let text = String::from_utf8(self.bytes.drain(..whole).collect()).expect("just looked at");
        text.chars().for_each(|c| self.char(c));
    }
    fn char(&mut self, c: char) {
        if let Some(mut begun) = self.begun.take() {
            begun.push(c);
            let over = match begun.as_str() {
                "[" => false,
                _ if begun.starts_with('[') => ('@'..='~').contains(&c),
                _ => true,
            };
            if over {
                self.escape(&begun)
            } else {
                self.begun = Some(begun)
            }
            return;
        }
        match c {
            '\x1b' => self.begun = Some(String::new()),
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            '\x08' => self.column = self.column.saturating_sub(1),
            '\x07' => {}
            c => {
                if self.column == 80 {
                    (self.row, self.column) = (self.row + 1, 0);
                }
                let column = self.column;
                let line = self.line();
                while line.len() <= column {
                    line.push(' ');
                }
                line[column] = c;
                self.column += 1;
            }
        }
    }
    fn line(&mut self) -> &mut Vec<char> {
        while self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
        &mut self.lines[self.row]
    }
    fn escape(&mut self, sequence: &str) {
        let number: usize = sequence.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
        let column = self.column;
        match (sequence.chars().last().expect("not empty"), number) {
            ('m' | 'h' | 'l', _) => {}
            ('A', n) => self.row = self.row.saturating_sub(n.max(1)),
            ('B', n) => self.row += n.max(1),
            ('C', n) => self.column = (column + n.max(1)).min(79),
            ('D', n) => self.column = column.saturating_sub(n.max(1)),
            ('G', n) => self.column = n.max(1) - 1,
            ('K', 0) => self.line().truncate(column),
            ('K', _) => self.line().clear(),
            ('J', 0) => {
                self.line().truncate(column);
                let row = self.row;
                self.lines.truncate(row + 1);
            }
            _ => panic!("the screen does not know ESC {sequence:?}"),
        }
    }
    pub fn text(&self) -> String {
        let lines: Vec<String> =
            self.lines.iter().map(|l| l.iter().collect::<String>().trim_end().to_string()).collect();
        lines.join("\n").trim_end().to_string()
    }
}

/// Runs a program on the terminal; at each prompt (the last line begins with one of `prompts`) the next key is typed.
/// Gives what is left on the screen, and the exit code.
pub fn talk(program: &Command, prompts: &[&str], keys: &[&str]) -> (String, Option<i32>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("the pty is ours");
    let name = ptsname(&master, Vec::new()).expect("the pty has a name");
    let slave = || {
        let mut how = fs::OpenOptions::new();
        how.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        how.open(name.to_str().expect("/dev/pts is ASCII")).expect("its other side")
    };
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("a size");
    let mut command = Command::new("setsid");
    command.args(["--wait", "--ctty"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().expect("every command here has a place"));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("TERM", "xterm").stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = command.spawn().expect("setsid (util-linux) is here");
    drop(command);

    let mut master = fs::File::from(master);
    let mut screen = Screen::default();
    let (mut typed, mut quiet, began) = (0, Instant::now(), Instant::now());
    let code = loop {
        let mut fds = [PollFd::new(&master, PollFlags::IN)];
        let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        if poll(&mut fds, Some(&wait)).is_ok_and(|n| n > 0) {
            let mut piece = [0; 4096];
            match master.read(&mut piece) {
                Ok(n) if n > 0 => {
                    screen.take(&piece[..n]);
                    quiet = Instant::now();
                    continue;
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        if let Some(status) = child.try_wait().expect("it is a child of ours") {
            break status.code();
        }
        let text = screen.text();
        let asks = text.lines().last().is_some_and(|l| prompts.iter().any(|p| l.starts_with(p)) && l.ends_with(':'));
        if asks && quiet.elapsed() > Duration::from_millis(150) {
            let key = keys.get(typed).copied().unwrap_or("\x1b");
            master.write_all(key.as_bytes()).expect("the pty takes it");
            typed += 1;
            quiet = Instant::now();
        }
        if began.elapsed() > Duration::from_secs(90) {
            let _ = child.kill();
            panic!("it does not end:\n{}", screen.text());
        }
    };
    (screen.text(), code)
}

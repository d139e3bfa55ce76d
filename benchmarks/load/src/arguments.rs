//! The command line: a command, then `--name value` pairs.
use std::collections::HashMap;
use std::str::FromStr;

/// Any failure, told once on standard error.
pub type Failure = Box<dyn std::error::Error>;

/// What the command line says.
pub struct Arguments {
    command: Option<String>,
    values: HashMap<String, String>,
}

impl Arguments {
    /// Reads the process's own command line.
    pub fn from_env() -> Self {
        let mut words = std::env::args().skip(1);
        let command = words.next();
        let mut values = HashMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            values.insert(name.trim_start_matches("--").to_owned(), value);
        }
        Self { command, values }
    }

    /// The command.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// The value of an option that must be given.
    pub fn required<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self
            .values
            .get(name)
            .ok_or(format!("--{name} is missing"))?;
        text.parse()
            .map_err(|_| format!("--{name} {text} is no valid value").into())
    }

    /// The value of an option, or its default.
    pub fn optional<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        if self.values.contains_key(name) {
            self.required(name)
        } else {
            Ok(default)
        }
    }
}

//! `--function NAME=PATH[,ARG…]`: a program as a function.

use std::path::PathBuf;
use std::str::FromStr;

use longhaul_emulator::FunctionConfig;

use crate::error::CliError;
use crate::run::local::with_own_variables;

/// A function as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    name: String,
    program: PathBuf,
    args: Vec<String>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or("write it as NAME=PATH, as in orders=target/debug/orders")?;
        let mut words = command.split(',').map(str::to_owned);
        let program = words.next().filter(|path| !path.is_empty());
        Ok(Self {
            name: name.to_owned(),
            program: program.ok_or("the path after `=` is empty")?.into(),
            args: words.collect(),
        })
    }
}

impl Named {
    /// The function, with the person's own environment. Its program must be there now: later nobody would look.
    pub(super) fn function(&self) -> Result<FunctionConfig, CliError> {
        let (name, program) = (&self.name, &self.program);
        let unusable = |why: String| {
            CliError::Usage(format!("--function {name}={}: {why}", program.display()))
        };
        let path = std::path::absolute(program).map_err(|error| unusable(error.to_string()))?;
        let data = std::fs::metadata(&path).map_err(|error| unusable(error.to_string()))?;
        if !data.is_file() {
            return Err(unusable("this is no file".to_owned()));
        }
        Ok(with_own_variables(FunctionConfig::process(
            name, path, &self.args,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_a_name_a_program_and_arguments() {
        let named: Named = "report=/usr/bin/python3,-m,awslambdaric,a=b"
            .parse()
            .unwrap();
        assert_eq!(named.name, "report");
        assert_eq!(named.program, PathBuf::from("/usr/bin/python3"));
        assert_eq!(named.args, ["-m", "awslambdaric", "a=b"]);
        assert!("report".parse::<Named>().is_err());
        assert!("report=".parse::<Named>().is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_said_before_anything_starts() {
        let named: Named = "x=/nowhere/at/all".parse().unwrap();
        let CliError::Usage(text) = named.function().unwrap_err() else {
            panic!("no usage error");
        };
        assert!(text.contains("--function x=/nowhere/at/all"), "{text}");
        let folder: Named = "x=/".parse().unwrap();
        assert!(folder.function().is_err());
    }
}

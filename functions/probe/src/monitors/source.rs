//! Where the monitors come from: `WM_URL`, the file of `WM_MONITORS_FILE`, or the one that is shipped with the function.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path};

use shared::env::Env;

use crate::config::without_credentials;

use super::{
    Defaults, Monitors,
    secrets::{NOT_HERE, Secrets, outside},
};

/// The file that is shipped: SAM takes nothing of a Rust function but its program, so that it is in there.
const SHIPPED: &str = include_str!("../../monitors.yaml");
/// Its name, and under it the copy beside the program that cargo-lambda ships (`include` in `Cargo.toml`), which may have
/// been changed since the program was built.
const SHIPPED_NAME: &str = "functions/probe/monitors.yaml";

/// What monitors are read from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `WM_URL`: each is a one-entry file.
    Urls(Vec<String>),
    /// A file.
    File(MonitorsFile),
}

/// A file and what its references lead to in the environment.
#[derive(Debug, Clone)]
pub struct MonitorsFile {
    /// What it is called in messages.
    pub name: String,
    text: String,
    environment: Secrets,
}

impl Source {
    /// Finds the source, and notes what is wrong with it in `env`. What only an extension can resolve is taken to be good.
    pub(crate) fn from_env(env: &mut Env<'_>, defaults: &Defaults) -> Self {
        let lookup = env.lookup();
        let urls = env.optional("WM_URL").map(|list| {
            list.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        });
        let source = match (urls, env.optional("WM_MONITORS_FILE")) {
            (Some(urls), None) => Self::Urls(urls),
            (None, Some(_)) => match env.text_file("WM_MONITORS_FILE") {
                Some((path, text)) => Self::File(MonitorsFile::new(path, text, lookup)),
                None => return Self::Urls(Vec::new()),
            },
            (None, None) => match MonitorsFile::shipped(env.optional("LAMBDA_TASK_ROOT").as_deref(), lookup) {
                Ok(file) => Self::File(file),
                Err(mistake) => {
                    env.mistake(mistake);
                    return Self::Urls(Vec::new());
                }
            },
            (Some(urls), Some(_)) => {
                env.mistake("WM_URL and WM_MONITORS_FILE are both set: expected one of them".to_owned());
                Self::Urls(urls)
            }
        };
        if matches!(&source, Self::Urls(urls) if urls.is_empty()) {
            env.mistake("WM_URL has no URL: expected at least one, such as https://example.com".to_owned());
        }
        let checked = match &source {
            Self::Urls(_) => source.read(defaults, |_| Err(String::new())),
            Self::File(_) => source.read(defaults, |_| Ok(NOT_HERE.to_owned())),
        };
        checked.err().into_iter().flatten().for_each(|mistake| env.mistake(mistake));
        source
    }

    /// The references that only the extension for parameters and secrets can resolve.
    #[must_use]
    pub fn outside(&self) -> BTreeSet<String> {
        match self {
            Self::Urls(_) => BTreeSet::new(),
            Self::File(file) => file.outside(),
        }
    }

    /// Reads the monitors, with what `resolve` finds for each reference of [`Source::outside`].
    ///
    /// # Errors
    /// All that is wrong, a line each, with its place.
    pub fn read(
        &self,
        defaults: &Defaults,
        resolve: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Monitors, Vec<String>> {
        match self {
            Self::Urls(urls) => {
                let twice =
                    urls.iter().enumerate().filter(|(index, url)| urls.iter().take(*index).any(|other| other == *url));
                let mut mistakes: Vec<_> =
                    twice.map(|(_, url)| format!("WM_URL: {:?} is there twice", without_credentials(url))).collect();
                let monitors = Monitors::of_urls(urls, defaults);
                mistakes
                    .extend(monitors.as_ref().err().into_iter().flatten().map(|mistake| format!("WM_URL: {mistake}")));
                monitors.ok().filter(|_| mistakes.is_empty()).ok_or(mistakes)
            }
            Self::File(file) => file.read(defaults, resolve),
        }
    }
}

impl MonitorsFile {
    /// A file by its name and text.
    #[must_use]
    pub fn new(name: String, text: String, lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let environment = Secrets::from_env(&text, lookup);
        Self { name, text, environment }
    }

    /// The one beside the program, or else in it.
    fn shipped(task_root: Option<&str>, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = match task_root.map(|root| fs::read_to_string(Path::new(root).join(SHIPPED_NAME))) {
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(format!("{SHIPPED_NAME}: {error}")),
            Some(Err(_)) | None => SHIPPED.to_owned(),
        };
        Ok(Self::new(SHIPPED_NAME.to_owned(), text, lookup))
    }

    /// The references that only the extension for parameters and secrets can resolve.
    #[must_use]
    pub fn outside(&self) -> BTreeSet<String> {
        outside(&self.text)
    }

    /// Reads the monitors, as [`Source::read`] does.
    ///
    /// # Errors
    /// All that is wrong, a line each, with its place.
    pub fn read(
        &self,
        defaults: &Defaults,
        resolve: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Monitors, Vec<String>> {
        let mut secrets = self.environment.clone();
        for reference in self.outside() {
            let value = resolve(&reference);
            secrets.insert(&reference, value);
        }
        let name = &self.name;
        Monitors::read(&self.text, defaults, secrets)
            .map_err(|mistakes| mistakes.iter().map(|mistake| format!("{name}:{mistake}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitors::tests::defaults;

    fn ids(task_root: &str) -> Vec<Option<String>> {
        let lookup = |name: &str| (name == "LAMBDA_TASK_ROOT").then(|| task_root.to_owned());
        let mut env = Env::new(&lookup);
        let source = Source::from_env(&mut env, &defaults());
        env.finish(()).unwrap();
        let monitors = source.read(&defaults(), |_| Err("unused".to_owned())).unwrap();
        monitors.enabled.into_iter().map(|monitor| monitor.id).collect()
    }

    fn mistakes(variables: &[(&str, &str)]) -> String {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        Source::from_env(&mut env, &defaults());
        env.finish(()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_can_be_had_in_aws_only_is_taken_to_be_good_wherever_it_stands() {
        let file = std::env::temp_dir().join(format!("monitors-{}.yaml", std::process::id()));
        let text = "monitors:\n- {id: a, url: '${ssm:/url}', headers: {a: '${secretsmanager:b#c}'}}\n\
                    - {id: b, url: 'http://b.test:${ssm:/port}/'}";
        fs::write(&file, text).unwrap();
        assert_eq!(mistakes(&[("WM_MONITORS_FILE", file.to_str().unwrap())]), "");
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_url_is_there_once() {
        let twice = mistakes(&[("WM_URL", "http://a.test,http://b.test,http://a.test")]);
        assert!(twice.contains("WM_URL: \"http://a.test\" is there twice"), "{twice}");
    }

    #[test]
    fn the_file_beside_the_program_takes_the_place_of_the_one_in_it() {
        let root = std::env::temp_dir().join(format!("monitors-{}", std::process::id()));
        let file = root.join(SHIPPED_NAME);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        assert_eq!(ids(root.to_str().unwrap()), [Some("example".to_owned())]);

        fs::write(&file, "monitors: [{id: mine, url: 'http://a.test'}]").unwrap();
        assert_eq!(ids(root.to_str().unwrap()), [Some("mine".to_owned())]);
        fs::remove_dir_all(root).unwrap();
    }
}

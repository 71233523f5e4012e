//! The status page: one document, and what belongs to it, all of it in this program.
//!
//! Its path says which contents it has, so that caches may keep it for ever. The rows of its table are written here as well
//! (`rows`), so that it says something without a script.

mod rows;

use std::sync::LazyLock;

use flate2::Compression;
use twox_hash::XxHash3_64;

use crate::{
    Stats,
    ask::{self, Look, Question, Written, gzip},
    event::Request,
    history::{HistoryError, Snapshot},
    overview::{Overview, question::OverviewQuestion},
    problem::StatsError,
    response::Reply,
    route::Fingerprint,
};

/// What the document may load and do: nothing but what comes from where it came from itself, and no script or style within
/// it (<https://www.w3.org/TR/CSP3/>).
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The media type of the document.
pub const HTML: &str = "text/html; charset=utf-8";

/// Something that belongs to the page.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its name, the last part of its path.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// All of it.
    pub bytes: &'static [u8],
    /// The same, compressed.
    pub compressed: Vec<u8>,
}

/// The page.
struct Site {
    /// The document, with the places for rows and notice.
    document: String,
    fingerprint: String,
    assets: Vec<Asset>,
}

/// Why there are no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Who asks may not see them, or not without a token.
    Unauthorized,
    /// They cannot be read at the moment.
    Unavailable,
}

/// The page with the rows of some targets.
pub struct PageQuestion<'query>(pub OverviewQuestion<'query>);

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../page/assets/", $name)).as_slice())),+]
    };
}

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let files = assets![
        "api.js",
        "chart.js",
        "dom.js",
        "figure.js",
        "format.js",
        "main.js",
        "monitor.js",
        "notice.js",
        "overview.js",
        "page.css",
        "parts.js",
        "pick.js",
        "popover.js",
        "route.js",
        "series.js",
        "spark.js",
        "uPlot.LICENSE",
        "uPlot.iife.min.js",
        "uPlot.min.css",
    ];
    // A name and its contents, one after the other, none of which the names have in them.
    let all: Vec<u8> = files.iter().flat_map(|(name, bytes)| [name.as_bytes(), b"\0", bytes].concat()).collect();
    let fingerprint = format!("{:016x}", XxHash3_64::oneshot(&all));
    let document = include_str!("../../page/index.html").replace("{{assets}}", &format!("assets/{fingerprint}"));
    let assets = files.into_iter().map(|(name, bytes)| Asset {
        name,
        content_type: content_type(name),
        bytes,
        compressed: gzip(bytes, Compression::best()).unwrap_or_default(),
    });
    Site { document, fingerprint, assets: assets.collect() }
});

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

/// What a path below `/assets/` names.
#[must_use]
pub fn asset(path: &str) -> Option<(&'static Asset, Fingerprint)> {
    let (fingerprint, name) = path.split_once('/')?;
    let asset = SITE.assets.iter().find(|asset| asset.name == name)?;
    let is_right = fingerprint == SITE.fingerprint;
    Some((asset, if is_right { Fingerprint::Right } else { Fingerprint::Other }))
}

/// The page for the client that sent a request, with the rows of targets.
///
/// # Errors
/// The database cannot be asked; see [`without_rows`].
pub async fn with_rows(stats: &Stats, request: &Request, question: OverviewQuestion<'_>) -> Result<Reply, StatsError> {
    ask::answer(stats, request, &PageQuestion(question)).await
}

/// The page with a notice in place of rows.
#[must_use]
pub fn without_rows(notice: Notice) -> Reply {
    Reply::Page { html: document(&notice.html(), ""), notice }
}

fn document(notice: &str, rows: &str) -> String {
    SITE.document.replace("<!--notice-->", notice).replace("<!--rows-->", rows)
}

impl Notice {
    fn html(self) -> String {
        let (kind, text) = match self {
            Self::Unauthorized => {
                ("unauthorized", "These figures take a token, and the script of this page to enter it.")
            }
            Self::Unavailable => ("error", "The figures cannot be read at the moment. Try again in a minute."),
        };
        format!("<p class=\"notice\" data-kind=\"{kind}\">{text}</p>")
    }
}

impl Look for PageQuestion<'_> {
    type Found = Overview;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<Overview, HistoryError> {
        self.0.look(snapshot).await
    }
}

impl Question for PageQuestion<'_> {
    fn key(&self) -> String {
        format!("page {} {}", SITE.fingerprint, self.0.key())
    }

    fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    fn write(&self, overview: Overview) -> Result<Written, StatsError> {
        // Targets that were given up long ago may be the first of several pages.
        let notice = if overview.targets.is_empty() && overview.next.is_none() {
            "<p class=\"notice\" data-kind=\"empty\">Nothing was probed in the last 90 days.</p>"
        } else {
            ""
        };
        let text = document(notice, &rows::write(&overview));
        Ok(Written { content_type: HTML, text, next: None })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_in_the_program_and_is_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page/assets");
        let files: BTreeSet<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();

        assert_eq!(SITE.assets.iter().map(|asset| asset.name.to_owned()).collect::<BTreeSet<_>>(), files);
        let compressed: usize = SITE.assets.iter().map(|asset| asset.compressed.len()).sum();
        assert!(compressed < 100_000, "{compressed}");
    }

    #[test]
    fn the_document_asks_for_what_there_is_and_has_a_place_for_each_thing() {
        let named = SITE.document.split('"').filter_map(|part| part.strip_prefix("assets/"));
        let named: Vec<_> = named.map(asset).collect();

        assert!(
            named.len() >= 2 && named.iter().all(|found| found.is_some_and(|(_, right)| right == Fingerprint::Right))
        );
        assert_eq!(
            (SITE.document.matches("<!--rows-->").count(), SITE.document.matches("<!--notice-->").count()),
            (1, 1)
        );
        assert!(!SITE.document.contains("{{") && !SITE.document.contains(" style="));
        assert_eq!(asset("0123456789abcdef/page.css").map(|(_, fingerprint)| fingerprint), Some(Fingerprint::Other));
        assert!(asset("page.css").is_none() && asset("../../page.css").is_none());
    }
}

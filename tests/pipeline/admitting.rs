//! Who gets an answer, about what, and with which rights in the database.

use serde_json::{Value, json};
use shared::timestamp;

use crate::{
    aws::Aws,
    serving::{URL, header, invoke, probed, request, response, send, text},
    support::{Place, batch, event, record_at},
};

#[tokio::test]
async fn tokens_are_for_what_their_tags_say() {
    let place = Place::new("serving_tokens").await;
    probed(&place).await;
    let mut other = record_at("https://private.test", timestamp::now().into());
    other
        .as_object_mut()
        .unwrap()
        .extend(json!({"interval_ms": 60_000, "tags": ["private"]}).as_object().unwrap().clone());
    flush::run(&place.flush(), batch(10, &[other])).await.unwrap();
    let tokens = "for-everything-there-is for-what-is-public:public,shop";
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false"), ("WM_STATS_TOKENS", tokens)]);
    let urls = async |path: &str, token: &str| -> Vec<String> {
        let authorization = format!("Bearer {token}");
        let response = request(&stats, "GET", path, &[("authorization", &authorization)]).await;
        assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "private, max-age=10"));
        let body: Value = serde_json::from_str(text(&response)).unwrap();
        body["stats"].as_array().unwrap().iter().map(|entry| entry["url"].as_str().unwrap().to_owned()).collect()
    };

    assert_eq!(urls("/stats", "for-everything-there-is").await, [URL, "https://private.test"]);
    assert_eq!(urls("/stats", "for-what-is-public").await, [URL]);
    // What it is not for is not there, by whatever name.
    for query in ["url=https://private.test", "tag=private", "sort=-probes&limit=5&tag=private", "limit=5&tag=private"]
    {
        assert!(urls(&format!("/stats?{query}"), "for-what-is-public").await.is_empty(), "{query}");
    }
    let metrics = request(&stats, "GET", "/metrics", &[("authorization", "Bearer for-what-is-public")]).await;
    assert!(!text(&metrics).contains("private.test") && text(&metrics).contains("a.test"));

    for (path, headers, challenge) in [
        ("/stats", vec![], "Bearer"),
        ("/metrics", vec![("authorization", "Bearer wrong")], "Bearer error=\"invalid_token\""),
        ("/badge.svg?url=x", vec![("authorization", "Basic Zm9vOmJhcg==")], "Bearer"),
        ("/health", vec![], "Bearer"),
    ] {
        let response = request(&stats, "GET", path, &headers).await;
        assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (401, challenge), "{path}");
    }
    // The description is no secret, and neither is what may be asked.
    assert_eq!(request(&stats, "GET", "/openapi.json", &[]).await.status(), 200);
    assert_eq!(request(&stats, "OPTIONS", "/stats", &[]).await.status(), 204);
}

#[tokio::test]
async fn who_may_not_ask_causes_no_query() {
    let place = Place::new("serving_no_query").await;
    let nowhere = ("WM_DB_CONNECTION_STRING", "postgres://127.0.0.1:1/nowhere");
    let stats =
        place.stats_with(&[nowhere, ("WM_STATS_PUBLIC", "false"), ("WM_STATS_TOKENS", "for-everything-there-is")]);
    let status =
        async |path: &str, headers: &[(&str, &str)]| request(&stats, "GET", path, headers).await.status().as_u16();

    for path in ["/stats", "/overview", "/failures", "/metrics", "/badge.svg?url=https://a.test", "/health"] {
        assert_eq!(status(path, &[]).await, 401, "{path}");
        assert_eq!(status(path, &[("authorization", "Bearer not-for-anything")]).await, 401, "{path}");
        // Who may does, so that it is missed.
        assert_eq!(status(path, &[("authorization", "Bearer for-everything-there-is")]).await, 503, "{path}");
    }
    assert_eq!(status("/", &[]).await, 200);
}

#[tokio::test]
async fn what_aws_lets_in_may_ask_about_everything() {
    let place = Place::new("serving_iam").await;
    probed(&place).await;
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false")]);
    let ask = async |change: &dyn Fn(&mut Value)| {
        let mut event = event("stats-request.json");
        change(&mut event);
        response(&invoke(&stats, &event).await)
    };

    let response = ask(&|_| {}).await;
    assert_eq!((response.status().as_u16(), text(&response).contains("a.test")), (200, true));
    let jwt = |event: &mut Value| {
        event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "x"}, "scopes": null}});
    };
    assert_eq!(ask(&jwt).await.status(), 200);
    // Nobody let it in: the function URL was opened, and nothing else said.
    let nobody = |event: &mut Value| drop(event["requestContext"].as_object_mut().unwrap().remove("authorizer"));
    assert_eq!(ask(&nobody).await.status(), 401);
    let nobody = |event: &mut Value| event["requestContext"]["authorizer"] = json!({});
    assert_eq!(ask(&nobody).await.status(), 401);
}

#[tokio::test]
async fn a_user_with_the_readers_role_reads_what_stats_needs_and_nothing_else() {
    let place = Place::new("serving_role").await;
    probed(&place).await;
    let admin = place.client().await;
    let user = "create role serving_role_user login password 'pw' in role website_monitor_reader";
    admin.batch_execute(user).await.unwrap();
    let (start, end) = place.connection_string.split_once("//").unwrap();
    let (_, host) = end.split_once('@').unwrap();
    let connection_string = format!("{start}//serving_role_user:pw@{host}");
    let stats = place.stats_with(&[("WM_DB_CONNECTION_STRING", &connection_string)]);

    for path in [
        "/stats?by=location,phase",
        "/stats?tag=public&bucket=1m&quorum=all",
        "/stats?by=status&compare=previous&window=1h",
        "/health",
    ] {
        let (response, body) = send(&stats, "GET", path).await;
        assert_eq!(response.status(), 200, "{body}");
    }
    let (client, connection) = tokio_postgres::connect(&connection_string, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (statement, what) in [
        ("insert into targets (url) values ('x')", "targets"),
        ("update chunks set probes = 0", "chunks"),
        ("delete from probes", "probes"),
        ("select * from rejects", "rejects"),
        ("create schema mine", "database serving_role"),
    ] {
        let error = client.batch_execute(statement).await.unwrap_err();
        assert!(
            shared::database::causes(&error).contains(&format!(
                "permission denied for {}",
                if what.contains(' ') { what.to_owned() } else { format!("table {what}") }
            )),
            "{error:?}"
        );
    }
    drop(client);
    drop(stats);
    admin.batch_execute("drop role serving_role_user").await.unwrap();
}

#[tokio::test]
async fn tokens_are_read_from_their_secret_when_there_is_one_to_look_up() {
    let place = Place::new("admitting_secret").await;
    probed(&place).await;
    let aws = Aws::start().await;
    let arn = aws.keep("tokens", "a-token-from-the-secret other-token-from-there:shop");
    let variables =
        [&aws.variables()[..], &[("WM_STATS_PUBLIC", "false".to_owned()), ("WM_STATS_TOKENS_SECRET_ARN", arn.clone())]]
            .concat();
    let functions = place.functions(&variables).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |token: Option<&str>| {
        let request = http.get(functions.client().stats_url());
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap().status().as_u16()
    };

    assert_eq!((status(None).await, aws.asked(&arn)), (401, 0));
    assert_eq!(
        (status(Some("a-token-from-the-secret")).await, status(Some("other-token-from-there")).await),
        (200, 200)
    );
    assert_eq!((status(Some("a-token-from-elsewhere")).await, aws.asked(&arn)), (401, 1));

    let broken = aws.keep("broken", "short");
    let variables = [&variables[..], &[("WM_STATS_TOKENS_SECRET_ARN", broken)]].concat();
    let functions = place.functions(&variables).await;
    let answer = http.get(functions.client().stats_url()).bearer_auth("short").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.text().await.unwrap().contains("the tokens cannot be read"));
}

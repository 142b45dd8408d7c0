//! A plain HTTP client for tests.

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One request; returns the status and the body.
pub(crate) async fn send(request: http::Request<Full<bytes::Bytes>>) -> (http::StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// A JSON POST.
pub(crate) async fn post(url: &str, body: &Value) -> (http::StatusCode, Value) {
    let request = http::Request::post(url).header("content-type", "application/json");
    let (status, body) = send(request.body(Full::from(body.to_string())).unwrap()).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// A GET.
pub(crate) async fn get(url: &str) -> (http::StatusCode, String) {
    send(http::Request::get(url).body(Full::default()).unwrap()).await
}

/// A JSON POST to Slack's Web API.
pub(crate) async fn call_slack(api_url: &str, token: &str, method: &str, body: &Value) -> Value {
    let request = http::Request::post(format!("{api_url}{method}"))
        .header("content-type", "application/json; charset=utf-8")
        .header("authorization", format!("Bearer {token}"));
    let (_, body) = send(request.body(Full::from(body.to_string())).unwrap()).await;
    serde_json::from_str(&body).unwrap()
}

//! Which system a path belongs to, and which scope of an API key it needs.

use axum::http::Method;
use backlot_foundation_tokens::audience;

/// First parts of the paths of each system, after `/v1/`.
const AREAS: &[(&str, &[&str])] = &[
    (
        audience::INFRASTRUCTURE,
        &["identity", "mandates", "billing", "assets", "assets-usage", "objects", "outputs"],
    ),
    (
        audience::BUSINESS,
        &[
            "tools",
            "extensions",
            "runs",
            "reviews",
            "boards",
            "board-runs",
            "board-templates",
            "profiles",
            "posts",
            "tags",
            "notifications",
            "reports",
            "moderation",
        ],
    ),
    (audience::INFERENCE, &["jobs", "fleet", "models"]),
    (
        audience::DATA,
        &[
            "metrics",
            "data",
            "events",
            "quarantine",
            "batch",
            "track",
            "identify",
            "page",
            "screen",
            "group",
            "alias",
        ],
    ),
];

/// Paths whose own signature or capability is the credential. Nothing of the caller's is added.
const CAPABILITIES: &[&str] = &["objects", "outputs"];

/// Calls of the Segment protocol: their write key, in `Authorization: Basic` or in the body, is the credential,
/// and they come from pages and programs anywhere.
const TRACKING: &[&str] = &["track", "identify", "page", "screen", "group", "alias", "batch"];

/// Paths of people who have no valid credential yet, or no longer.
const DOORS: &[&str] = &["/v1/identity/sign-in", "/v1/identity/sign-up", "/v1/identity/sign-out"];

/// The areas of a system.
pub(super) fn of(system: &str) -> &'static [&'static str] {
    AREAS.iter().find(|(name, _)| *name == system).map_or(&[], |(_, areas)| areas)
}

/// The first part of an API path.
pub(super) fn area(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")?.split('/').next().filter(|area| !area.is_empty())
}

/// The area as a metric's label: one of a fixed set, whatever strangers ask for.
pub(super) fn label(path: &str) -> &'static str {
    let Some(area) = area(path) else { return "pages" };
    let known = AREAS.iter().flat_map(|(_, areas)| areas.iter()).find(|known| **known == area);
    known.copied().unwrap_or("other")
}

/// Whether the path's own signature, or the call's write key, is the credential.
pub(super) fn is_capability(method: &Method, path: &str) -> bool {
    area(path).is_some_and(|area| CAPABILITIES.contains(&area)) || is_tracking(method, path)
}

/// Whether this is a call of the tracking protocol: exactly `POST /v1/NAME`.
pub(super) fn is_tracking(method: &Method, path: &str) -> bool {
    *method == Method::POST && path.strip_prefix("/v1/").is_some_and(|name| TRACKING.contains(&name))
}

/// Whether an old cookie must not stand in the way.
pub(super) fn is_door(path: &str) -> bool {
    DOORS.contains(&path)
}

/// Whether the method only looks.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The scope that an API key with scopes must have: `area:read` to look, `area:write` to change. Areas
/// that are one thing to a person share a scope.
pub(super) fn scope(method: &Method, path: &str) -> String {
    let area = match area(path).unwrap_or_default() {
        "runs" => "tools",
        "board-runs" | "board-templates" => "boards",
        "assets-usage" => "assets",
        "fleet" | "models" => "jobs",
        "profiles" | "tags" | "notifications" | "reports" | "moderation" => "posts",
        other => other,
    };
    let looks = is_safe(method) || (area == "tools" && path.ends_with("/quote"));
    format!("{area}:{}", if looks { "read" } else { "write" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_follows_from_method_and_path() {
        let check = |method, path, expected| assert_eq!(scope(&method, path), expected, "{path}");
        check(Method::GET, "/v1/assets/1", "assets:read");
        check(Method::POST, "/v1/assets", "assets:write");
        check(Method::POST, "/v1/tools/upscale/quote", "tools:read");
        check(Method::POST, "/v1/runs", "tools:write");
        check(Method::GET, "/v1/fleet", "jobs:read");
        check(Method::PUT, "/v1/profiles/ada/follow", "posts:write");
        check(Method::DELETE, "/v1/identity/api-keys/1", "identity:write");
    }

    /// An edge that serves none of the systems itself knows where to send a request by these names alone.
    #[test]
    fn every_route_of_the_public_api_leads_somewhere() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../../../../openapi.json")).unwrap();
        for path in document["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/v1/")) {
            let area = area(path).unwrap();
            assert_ne!(label(path), "other", "{path}: no system has the area \"{area}\"");
        }
    }

    #[test]
    fn only_posts_of_the_protocol_carry_a_write_key() {
        for name in TRACKING {
            assert!(is_tracking(&Method::POST, &format!("/v1/{name}")), "{name}");
            assert!(of(audience::DATA).contains(name), "{name} leads nowhere");
        }
        assert!(!is_tracking(&Method::GET, "/v1/track"));
        assert!(!is_tracking(&Method::POST, "/v1/track/more") && !is_tracking(&Method::POST, "/v1/tools"));
    }

    #[test]
    fn labels_are_few() {
        assert_eq!(label("/v1/assets/1"), "assets");
        assert_eq!(label("/v1/no-such-thing"), "other");
        assert_eq!(label("/index.html"), "pages");
    }
}

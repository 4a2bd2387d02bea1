"""Rules of the API that OpenAPI cannot express, for schemathesis."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # A stream of events lasts until its limit is reached, so a valid request gets the limit 0.
    if case.path == "/v1/events":
        limit = case.query.get("limit")
        if limit is None or str(limit).isdigit():
            case.query["limit"] = 0
    # `since` reads the history, which knows neither `after` nor `subtree`: docs/api.md.
    if case.path == "/v1/deaths" and "since" in case.query:
        for name in ("after", "subtree"):
            case.query.pop(name, None)
    # `at` cannot be combined with `since` or `after`: docs/api.md.
    if case.path == "/v1/deaths" and "at" in case.query:
        for name in ("since", "after"):
            case.query.pop(name, None)
    if case.path == "/v1/lives" and "at" in case.query:
        case.query.pop("since", None)
    # `now` and `usage` cannot be combined with `at`: the daemon answers 400.
    if case.path == "/v1/tree" and "at" in case.query:
        for name in ("now", "usage"):
            if str(case.query.get(name)).lower() == "true":
                del case.query[name]

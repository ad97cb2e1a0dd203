"""Where keys are likely to stand: names that say so, names that only sound like it, headers, queries, addresses and variables."""

from __future__ import annotations

from base64 import b64encode

import pytest

from frameengine.trace.holders import header_secrets, holds_key, member_holds, public_query, public_url, secrets_of

KEY = "Zq7Xw9canaryKd93hfPl2"


@pytest.mark.parametrize(
    "name",
    (
        "key api_key apiKey API-KEY apikey subscription-key Ocp-Apim-Subscription-Key access_token refreshToken id_token token "
        "auth x-auth-token Helicone-Auth sig signature X-Amz-Signature X-Amz-Security-Token X-Amz-Credential AWSAccessKeyId "
        "password passwd passphrase client_secret clientSecret CF-Access-Client-Secret x-litellm-api-key jwt session "
        "cookie Set-Cookie authorization csrftoken"
    ).split(),
)
def test_names_of_keys_are_known(name: str) -> None:
    """Headers and members of queries are known by the last words of their names, however these are joined."""
    assert holds_key(name)


@pytest.mark.parametrize(
    "name",
    (
        "max_tokens maxTokens tokens keys authors author monkey turkey keyboard keyword design page_token nextPageToken "
        "continuation-token cache_key prompt_cache_key idempotency_key primaryKey stop_token time_to_first_token session_id "
        "secretary passwords_changed x-ratelimit-limit-tokens cost_per_token signatures"
    ).split(),
)
def test_names_that_only_sound_like_it_are_not(name: str) -> None:
    """Counts, tables, pages and words that merely hold or end in such letters are no keys."""
    assert not holds_key(name)


@pytest.mark.parametrize("name", ["session", "jwt", "id_token", "sessionToken", "x-auth-token", "token"])
def test_what_may_hold_a_key_is_replaced_where_it_looks_like_one(name: str) -> None:
    """A member that is called so holds a key if its value is made like one, and a word otherwise."""
    assert member_holds(name, KEY)
    assert not any(member_holds(name, word) for word in (" the", "Paris", "the afternoon session", "=" * 64, "0" * 40, "-" * 32))


@pytest.mark.parametrize("name", ["signature", "thoughtSignature", "thought_signature", "key", "prompt_cache_key", "content"])
def test_members_that_hold_other_things_too_stay(name: str) -> None:
    """Signatures of what a model thought, and keys of tables, are part of an answer."""
    assert not member_holds(name, KEY * 20)


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ([("Cookie", f"sess={KEY}"), ("cookie", "b=2")], [KEY, "2"]),
        ([("Authorization", "Bearer first-key"), ("authorization", "Bearer other-key")], ["first-key", "other-key"]),
        (
            [("authorization", f"Basic {b64encode(b'me:' + KEY.encode()).decode()}")],
            [b64encode(b"me:" + KEY.encode()).decode(), "me", KEY],
        ),
        ([("x-auth-token", KEY), ("Ocp-Apim-Subscription-Key", KEY)], [KEY, KEY]),
        ([("Helicone-Auth", f"Bearer {KEY}"), ("CF-Access-Client-Secret", "plain words")], [KEY, "words"]),
        (
            [("x-whatever", KEY), ("x-other", "550e8400-e29b-41d4-a716-446655440000")],
            [KEY, "550e8400-e29b-41d4-a716-446655440000"],
        ),
    ],
)
def test_headers_of_a_request_are_secret_unless_they_are_known_not_to_be(
    headers: list[tuple[str, str]], secrets: list[str]
) -> None:
    """Every line of a header counts, schemes are left off, and so does a header of no known name whose value looks like a key."""
    assert header_secrets(headers) == secrets


def test_harmless_headers_are_no_secrets() -> None:
    """Ids of a request, versions, names of models and of clients, and words are not taken for keys."""
    harmless = {
        "user-agent": "OpenAI/Python 1.99.2-beta7x8y9",
        "x-stainless-runtime-version": "3.11.7a1b2c3d4e5",
        "x-request-id": "0f8fad5bd9cb469fa16570867728950e",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "content-type": "multipart/form-data; boundary=0af7651916cd43dd8448eb211c80319c",
        "x-app": "customer-support-agent",
        "x-model-hint": "meta-llama/Llama-3.3-70B-Instruct",
        "x-deployment": "gpt-4o-mini-2024-07-18",
        "x-note": "three plain words",
        "anthropic-beta": "prompt-caching-2024-07-31",
    }
    assert header_secrets(harmless.items()) == []


def test_headers_of_an_answer_tell_of_keys() -> None:
    """A cookie that is set, a token in a header and keys in an address are known from the answer on; its ids are not."""
    headers = [
        ("Set-Cookie", f"sid={KEY}; Path=/; HttpOnly"),
        ("x-auth-token", f"{KEY}y"),
        ("x-ratelimit-token", "gpt-5.2-chat"),
        ("Location", f"https://u:pw@cdn.example/f?n=1&token={KEY}x"),
        ("x-id", KEY),
    ]
    assert header_secrets(headers, answer=True) == [KEY, f"{KEY}y", f"{KEY}x", "u", "pw"]


def test_addresses_lose_what_proves_who_asks() -> None:
    """User, password and secret members of query and fragment go; an address without any stays as it is, byte for byte."""
    assert public_url(f"https://me:{KEY}@h.example:8/p?a=1&X-Amz-Signature=s%2B1&b=2#access_token=t") == (
        "https://h.example:8/p?a=1&b=2",
        ["s+1", "s%2B1", "me", KEY, "t"],
    )
    for plain in ("https://h.example/p?", "/relative?page_token=3&q=%zz", "", "http://h/#top"):
        assert public_url(plain) == (plain, [])
    assert public_url("http://[::1/x") == ("", ["http://[::1/x"])


def test_queries_keep_the_rest_as_it_was() -> None:
    """Members that hold no key keep their order and their escapes; a name with escapes is read."""
    assert public_query("b=%20&api%5Fkey=K&a&max_tokens=3") == ("b=%20&a&max_tokens=3", ["K"])


def test_variables_are_known_by_the_ends_of_their_names() -> None:
    """Values of variables that are called as keys are, and no others, whatever is in them."""
    environment = {
        "A_API_KEY": "1",
        "PGPASSWORD": "2",
        "MY_TOKEN": "3",
        "X_SECRET": "4",
        "KEYS": "5",
        "TOKENIZERS": "6",
        "PWD": "7",
    }
    assert secrets_of(environment) == ["1", "2", "3", "4"]

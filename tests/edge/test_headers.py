from server.edge.headers import Headers

FIELDS = Headers([("Host", "a"), ("X-Two", "1, 2"), ("x-two", " ,3"), ("X-Latin", "\xe4")])


def test_names_are_looked_up_without_regard_to_case() -> None:
    assert FIELDS.get("hOST") == "a"
    assert "HOST" in FIELDS
    assert "Missing" not in FIELDS
    assert FIELDS.get("Missing") is None


def test_repeated_fields_keep_their_order() -> None:
    assert FIELDS.get("X-Two") == "1, 2"
    assert FIELDS.get_all("X-Two") == ["1, 2", " ,3"]
    assert FIELDS.tokens("X-Two") == ["1", "2", "3"]


def test_values_beyond_ascii_are_kept_and_not_shown() -> None:
    assert FIELDS.get("x-latin") == "\xe4"
    assert "\xe4" not in repr(FIELDS)
    assert [name for name, _ in FIELDS] == ["host", "x-two", "x-two", "x-latin"]

"""What the service answers when it refuses a request."""

import json


class Refused(Exception):
    """A request that is not answered as asked."""

    def __init__(self, status: int, message: str, *, code: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.detail = detail

    def body(self) -> bytes:
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.detail:
            error["details"] = [{"code": self.detail, "message": self.message.split("\r\n")[0]}]
        return json.dumps({"error": error}).encode()


def bad_parameter(message: str, parameter: str, detail: str) -> Refused:
    text = f"{message}\r\nParameter name: {parameter}"
    return Refused(400, text, code="InvalidRequestParameter", detail=detail)


def invalid_request(message: str) -> Refused:
    return Refused(400, f"The request is invalid. Details: {message}\r\n")

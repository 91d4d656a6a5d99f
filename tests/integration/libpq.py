"""A small client over libpq (ctypes), for what psycopg2 hides: named prepared statements, the extended protocol, and whether a failed
COMMIT was answered. One session belongs to one thread. Values go as text."""
import ctypes
import ctypes.util

_pq = ctypes.CDLL("libpq.so.5")
_handle, _text = ctypes.c_void_p, ctypes.c_char_p
for _name, _result, _arguments in (
        ("PQconnectdb", _handle, [_text]), ("PQfinish", None, [_handle]), ("PQstatus", ctypes.c_int, [_handle]),
        ("PQerrorMessage", _text, [_handle]), ("PQclear", None, [_handle]), ("PQresultStatus", ctypes.c_int, [_handle]),
        ("PQresultErrorField", _text, [_handle, ctypes.c_int]), ("PQntuples", ctypes.c_int, [_handle]),
        ("PQnfields", ctypes.c_int, [_handle]), ("PQgetvalue", _text, [_handle, ctypes.c_int, ctypes.c_int]),
        ("PQgetisnull", ctypes.c_int, [_handle, ctypes.c_int, ctypes.c_int]), ("PQcmdTuples", _text, [_handle]),
        ("PQexec", _handle, [_handle, _text]), ("PQprepare", _handle, [_handle, _text, _text, ctypes.c_int, ctypes.c_void_p]),
        ("PQexecPrepared", _handle, [_handle, _text, ctypes.c_int, ctypes.POINTER(_text), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]),
        ("PQexecParams", _handle,
         [_handle, _text, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_text), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int])):
    _function = getattr(_pq, _name)
    _function.restype, _function.argtypes = _result, _arguments

CONNECTION_OK, COMMAND_OK, TUPLES_OK = 0, 1, 2
SQLSTATE, PRIMARY, DETAIL = ord("C"), ord("M"), ord("D")


class Refused(Exception):
    """The server answered with an error: the statement had no effect."""

    def __init__(self, sqlstate, message, detail):
        super().__init__(f"{sqlstate}: {message}" + (f" ({detail})" if detail else ""))
        self.sqlstate, self.message, self.detail = sqlstate, message, detail


class Lost(Exception):
    """The connection is gone; the outcome of what was under way is unknown."""


class Session:
    """`mode`: simple (literals in the text), extended (parameters), prepared (named statements, made at first use)."""

    def __init__(self, mode="simple", **parameters):
        assert mode in ("simple", "extended", "prepared")
        self.mode, self._prepared = mode, {}
        quoted = " ".join("{}='{}'".format(key, str(value).replace("\\", "\\\\").replace("'", "\\'")) for key, value in parameters.items())
        self._connection = _pq.PQconnectdb(quoted.encode())
        if _pq.PQstatus(self._connection) != CONNECTION_OK:
            reason = _pq.PQerrorMessage(self._connection).decode(errors="replace").strip()
            self.close()
            raise Lost(reason)

    def close(self):
        if self._connection:
            _pq.PQfinish(self._connection)
            self._connection = None

    def run(self, sql, *values):
        """One statement with $1, $2, ...; rows as lists of text, or the number of rows affected for one that returns none."""
        texts = [None if value is None else str(value) for value in values]
        if self.mode == "simple" or not values:
            return self._take(_pq.PQexec(self._connection, self._inlined(sql, texts).encode()))
        array = (_text * len(texts))(*[None if text is None else text.encode() for text in texts])
        if self.mode == "extended":
            return self._take(_pq.PQexecParams(self._connection, sql.encode(), len(texts), None, array, None, None, 0))
        if sql not in self._prepared:
            name = f"s{len(self._prepared)}".encode()
            self._take(_pq.PQprepare(self._connection, name, sql.encode(), 0, None))
            self._prepared[sql] = name
        return self._take(_pq.PQexecPrepared(self._connection, self._prepared[sql], len(texts), array, None, None, 0))

    @staticmethod
    def _inlined(sql, texts):
        for index in range(len(texts), 0, -1):
            text = texts[index - 1]
            literal = "NULL" if text is None else text if text.lstrip("-").isdigit() else "'" + text.replace("'", "''") + "'"
            sql = sql.replace(f"${index}", literal)
        return sql

    def _take(self, result):
        try:
            status = _pq.PQresultStatus(result) if result else None
            if status == TUPLES_OK:
                rows, columns = _pq.PQntuples(result), _pq.PQnfields(result)
                return [[None if _pq.PQgetisnull(result, row, column) else _pq.PQgetvalue(result, row, column).decode()
                         for column in range(columns)] for row in range(rows)]
            if status == COMMAND_OK:
                return int(_pq.PQcmdTuples(result) or 0)
            field = [(_pq.PQresultErrorField(result, code) or b"").decode(errors="replace") if result else "" for code in
                     (SQLSTATE, PRIMARY, DETAIL)]
            if _pq.PQstatus(self._connection) != CONNECTION_OK or not field[0] or field[0] == "08007":
                raise Lost(f"{field[0]} {field[1]}".strip() or _pq.PQerrorMessage(self._connection).decode(errors="replace").strip())
            raise Refused(*field)
        finally:
            if result:
                _pq.PQclear(result)

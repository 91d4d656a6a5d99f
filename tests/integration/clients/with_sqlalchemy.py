"""SQLAlchemy over psycopg2: its questions at connect, reflection, ORM with flush and refresh, bulk inserts, nested transactions, a pool,
streaming; tables by metadata."""
import threading
import uuid

from sqlalchemy import (BigInteger, Column, ForeignKey, Integer, MetaData, Numeric, String, create_engine, event, exc, func, inspect, select, text)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID, insert
from sqlalchemy.orm import Session, declarative_base, relationship

engine = create_engine("postgresql+psycopg2://", pool_size=6, max_overflow=4)
Base = declarative_base()


class Account(Base):
    __tablename__ = "accounts"
    id = Column(BigInteger, primary_key=True, autoincrement=False)
    owner = Column(String, nullable=False)
    balance = Column(Numeric(12, 2), nullable=False, default=0)
    entries = relationship("Entry", primaryjoin="Account.id == foreign(Entry.account_id)", order_by="Entry.no")


class Entry(Base):
    __tablename__ = "entries"
    account_id = Column(BigInteger, ForeignKey("accounts.id"), primary_key=True)
    no = Column(Integer, primary_key=True)
    note = Column(String)


class Token(Base):
    __tablename__ = "tokens"
    token = Column(UUID(as_uuid=True), primary_key=True)
    note = Column(String)


class Word(Base):
    __tablename__ = "words"
    word = Column(String, primary_key=True)
    length = Column(Integer, nullable=False)


class Draft(Base):
    __tablename__ = "drafts"
    id = Column(Integer, primary_key=True)
    body = Column(String)
    extra = Column(JSONB)
    tags = Column(ARRAY(String))


# Reflection and DDL of a table that is not sharded.
inspector = inspect(engine)
assert {"accounts", "entries", "notes", "tokens", "words"} <= set(inspector.get_table_names())
assert [column["name"] for column in inspector.get_columns("accounts")] == ["id", "owner", "balance"]
assert inspector.get_pk_constraint("entries")["constrained_columns"] == ["account_id", "no"]
assert inspector.get_check_constraints("notes")[0]["name"] == "body_is_short"
Base.metadata.create_all(engine, tables=[Draft.__table__])
reflected = MetaData()
reflected.reflect(engine, only=["notes"])
assert "tags" in reflected.tables["notes"].columns

# ORM.
for key in range(1, 41):
    with Session(engine) as session:
        session.add(Account(id=key, owner=f"owner {key}", balance=key, entries=[Entry(no=1, note="first"), Entry(no=2, note="second")]))
        session.commit()
with Session(engine) as session:
    account = session.get(Account, 7)
    account.balance += 5
    session.flush()
    session.refresh(account)
    assert account.balance == 12 and [entry.note for entry in account.entries] == ["first", "second"]
    account.entries.append(Entry(no=3, note="third"))
    session.commit()
    assert session.scalars(select(Entry.note).where(Entry.account_id == 7).order_by(Entry.no)).all() == ["first", "second", "third"]
with Session(engine) as session, session.begin():
    account = session.get(Account, 8, with_for_update=True)
    account.owner = "changed"
    try:
        with session.begin_nested():
            session.add(Entry(account_id=8, no=1, note="again"))
            session.flush()
    except exc.IntegrityError as failure:
        assert failure.orig.diag.constraint_name == "entries_pkey"
with Session(engine) as session:
    assert session.execute(select(Account.owner).where(Account.id == 8)).scalar_one() == "changed"
with Session(engine) as session:
    assert session.execute(select(func.count()).select_from(Entry).where(Entry.account_id.in_([9]))).scalar_one() == 2
    session.delete(session.get(Account, 9))
    session.rollback()
for number in range(30):
    token = uuid.UUID(int=number * 7919 << 90 | number)
    with Session(engine) as session:
        session.add(Token(token=token, note=str(number)))
        session.commit()
        assert session.get(Token, token).note == str(number)
    with Session(engine) as session:
        session.add(Word(word=f"wörd {number}", length=number))
        session.commit()
with Session(engine) as session, session.begin():
    draft = Draft(body="b", extra={"a": [1]}, tags=["x", "y"])
    session.add(draft)
    session.flush()  # INSERT ... RETURNING of a serial key
    assert draft.id == 1
with engine.begin() as connection:
    connection.execute(insert(Account).values(id=10, owner="x", balance=0).on_conflict_do_update(index_elements=["id"], set_={"owner": "upserted"}))
with engine.begin() as connection:
    connection.execute(Draft.__table__.insert(), [{"body": f"many {number}"} for number in range(500)])
with engine.connect() as connection:
    assert connection.execute(select(Account.owner).where(Account.id == 10)).scalar_one() == "upserted"
with engine.connect() as connection:
    streamed = connection.execution_options(stream_results=True, max_row_buffer=50).execute(select(Draft.id).order_by(Draft.id))
    assert [row[0] for row in streamed] == list(range(1, 502))

# Core: isolation levels, autocommit, errors, raw SQL.
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    connection.execute(text("VACUUM drafts"))
try:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO accounts VALUES (7, 'again', 0)"))
    raise AssertionError("a key was taken twice")
except exc.IntegrityError:
    pass


def work(number):
    for key in range(1, 41):
        with Session(engine) as session:
            assert session.execute(select(Account.id).where(Account.id == key)).scalar_one() == key


checkouts = []
event.listen(engine, "checkout", lambda *_: checkouts.append(1))
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(checkouts) == 320
engine.dispose()
import sqlalchemy  # noqa: E402
print("sqlalchemy", sqlalchemy.__version__)

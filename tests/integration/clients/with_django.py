"""Django over psycopg2: migrations of a table that is not sharded, ORM on sharded tables, nested atomic blocks, on_commit, server-side
cursors, select_for_update, introspection, bulk operations."""
import os
import sys
import uuid

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
                           "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], USE_TZ=True, TIME_ZONE="Europe/Berlin",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402


class Account(models.Model):
    id = models.BigIntegerField(primary_key=True)
    owner = models.TextField()
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)

    class Meta:
        app_label, db_table, managed = "bank", "accounts", False


class Token(models.Model):
    token = models.UUIDField(primary_key=True)
    note = models.TextField(null=True)

    class Meta:
        app_label, db_table, managed = "bank", "tokens", False


class Word(models.Model):
    word = models.TextField(primary_key=True)
    length = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "bank", "words", False


# What is not sharded lives as ever: Django's own tables, with all of their migrations.
call_command("migrate", verbosity=0, interactive=False)
user = User.objects.create_user("ann", "ann@example.org", "secret")
assert User.objects.get(username="ann").check_password("secret")
User.objects.bulk_create([User(username=f"user {n}") for n in range(200)])
assert User.objects.filter(username__startswith="user").count() == 200
with transaction.atomic():  # by a server-side cursor
    assert len(list(User.objects.order_by("id").iterator(chunk_size=50))) == 201
if sys.argv[1:] == ["session"]:  # by one WITH HOLD
    assert len(list(User.objects.order_by("id").iterator(chunk_size=50))) == 201

# Sharded tables, one key a statement.
for key in range(1, 41):
    Account.objects.create(id=key, owner=f"owner {key}", balance=key)
for key in range(1, 41):
    account = Account.objects.get(pk=key)
    assert account.balance == key
    account.balance += 1
    account.save()
assert Account.objects.filter(pk=7).update(balance=models.F("balance") * 2) == 1
assert Account.objects.get(pk=7).balance == 16
assert Account.objects.filter(id__in=[8]).values_list("owner", flat=True).get() == "owner 8"
assert Account.objects.update_or_create(id=9, defaults={"owner": "changed"})[1] is False
assert Account.objects.get_or_create(id=41, defaults={"owner": "new"})[1] is True
assert Account.objects.filter(pk=41).exists() and Account.objects.filter(pk=41).delete()[0] == 1
for number in range(30):
    token = uuid.UUID(int=number * 7919 << 90 | number)
    Token.objects.create(token=token, note=str(number))
    assert Token.objects.get(token=token).note == str(number)
    Word.objects.create(word=f"wörd {number}", length=number)

# Transactions: atomic blocks in atomic blocks, hooks, locks, errors.
told = []
with transaction.atomic():
    Account.objects.filter(pk=10).update(balance=100)
    transaction.on_commit(lambda: told.append("committed"))
    try:
        with transaction.atomic():
            Account.objects.filter(pk=10).update(balance=200)
            raise ValueError
    except ValueError:
        pass
    with transaction.atomic():
        pass
assert told == ["committed"] and Account.objects.get(pk=10).balance == 100
with transaction.atomic():
    with transaction.atomic():
        with transaction.atomic():
            Account.objects.filter(pk=11).update(balance=7)
assert Account.objects.get(pk=11).balance == 7
with transaction.atomic():
    assert Account.objects.select_for_update().get(pk=12).owner == "owner 12"
try:
    with transaction.atomic():
        Account.objects.create(id=12, owner="again")
    raise AssertionError("a key was taken twice")
except IntegrityError as failure:
    assert failure.__cause__.diag.constraint_name == "accounts_pkey"
assert Account.objects.get(pk=12).owner == "owner 12"

# Introspection, raw SQL, a connection that is closed and opened.
with connection.cursor() as cursor:
    assert "accounts" in connection.introspection.table_names(cursor)
    assert [column.name for column in connection.introspection.get_table_description(cursor, "notes")][:2] == ["id", "body"]
    cursor.execute("SELECT owner FROM accounts WHERE id = %s", [13])
    assert cursor.fetchone() == ("owner 13",)
connection.close()
assert Account.objects.raw("SELECT * FROM accounts WHERE id = %s", [14])[0].owner == "owner 14"
call_command("check")
print("django", django.get_version())

// Go's pgx 5: statements cached on the connection and described first, everything in binary, batches in one pipeline, CopyFrom, nested
// transactions, cancel by context, a pool, and its other ways of execution.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("%+v", err))
	}
}

func expect(is bool, what string, values ...interface{}) {
	if !is {
		panic(fmt.Sprintf("%s: %v", what, values))
	}
}

func code(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return fmt.Sprint(err)
}

func exercise(ctx context.Context, mode pgx.QueryExecMode, base int64) {
	config, err := pgx.ParseConfig("")
	must(err)
	config.DefaultQueryExecMode = mode
	db, err := pgx.ConnectConfig(ctx, config)
	must(err)
	defer db.Close(ctx)
	for key := base + 1; key <= base+20; key++ {
		_, err = db.Exec(ctx, "INSERT INTO accounts (id, owner, balance) VALUES ($1, $2, $3)", key, fmt.Sprintf("owner %d", key), float64(key%100))
		must(err)
		var owner string
		must(db.QueryRow(ctx, "SELECT owner FROM accounts WHERE id = $1", key).Scan(&owner))
		expect(owner == fmt.Sprintf("owner %d", key), "owner", key, owner)
		_, err = db.Exec(ctx, "INSERT INTO words VALUES ($1, $2)", fmt.Sprintf("wörd %d", key), int32(key))
		must(err)
		token := fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(key*0x9e3779), key)
		_, err = db.Exec(ctx, "INSERT INTO tokens VALUES ($1, $2)", token, "note")
		must(err)
		_, err = db.Exec(ctx, "INSERT INTO entries VALUES ($1, 1, 'x')", key)
		must(err)
	}
	var owner string
	must(db.QueryRow(ctx, "SELECT owner FROM accounts WHERE id = ANY ($1::bigint[])", []int64{base + 5}).Scan(&owner))
	var balance float64
	must(db.QueryRow(ctx, "UPDATE accounts SET balance = $1::bigint % 1000 WHERE id = $1 RETURNING balance", base+7).Scan(&balance))
	expect(balance == float64((base+7)%1000), "a key with other uses", balance)
}

func main() {
	ctx := context.Background()
	exercise(ctx, pgx.QueryExecModeCacheStatement, 0)
	exercise(ctx, pgx.QueryExecModeCacheDescribe, 100)
	exercise(ctx, pgx.QueryExecModeDescribeExec, 200)
	exercise(ctx, pgx.QueryExecModeExec, 300)
	exercise(ctx, pgx.QueryExecModeSimpleProtocol, 400)

	db, err := pgx.Connect(ctx, "")
	must(err)
	_, err = db.Prepare(ctx, "named", "SELECT owner, balance FROM accounts WHERE id = $1")
	must(err)
	for key := int64(1); key <= 20; key++ {
		var owner string
		must(db.QueryRow(ctx, "named", key).Scan(&owner, nil))
	}
	must(db.Deallocate(ctx, "named"))

	// Batches: one pipeline.
	batch := &pgx.Batch{}
	for number := 0; number < 100; number++ {
		batch.Queue("SELECT $1::int", number)
	}
	results := db.SendBatch(ctx, batch)
	for number := 0; number < 100; number++ {
		var got int
		must(results.QueryRow().Scan(&got))
		expect(got == number, "batch", got, number)
	}
	must(results.Close())
	batch = &pgx.Batch{}
	for n := 0; n < 3; n++ {
		batch.Queue("UPDATE accounts SET balance = balance + 1 WHERE id = $1", int64(5))
	}
	must(db.SendBatch(ctx, batch).Close())
	batch = &pgx.Batch{}
	batch.Queue("UPDATE accounts SET balance = 0 WHERE id = $1", int64(5))
	batch.Queue("SELECT 1 / $1::int", 0)
	expect(code(db.SendBatch(ctx, batch).Close()) == "22012", "a failed batch")
	var balance float64
	must(db.QueryRow(ctx, "SELECT balance FROM accounts WHERE id = 5").Scan(&balance))
	expect(balance == 8, "batches are transactions", balance)

	// Transactions in transactions.
	must(pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE accounts SET balance = 77 WHERE id = $1", int64(6))
		must(err)
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO accounts VALUES (6, 'again')")
			return err
		})
		expect(code(inner) == "23505", "inner", inner)
		return nil
	}))
	must(db.QueryRow(ctx, "SELECT balance FROM accounts WHERE id = 6").Scan(&balance))
	expect(balance == 77, "outer", balance)

	// COPY in binary, a large result, cancel.
	count, err := db.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"id", "body"}, pgx.CopyFromSlice(1000, func(n int) ([]any, error) {
		return []any{n, fmt.Sprintf("copied %d", n)}, nil
	}))
	must(err)
	expect(count == 1000, "copied", count)
	rows, err := db.Query(ctx, "SELECT id FROM notes ORDER BY id")
	must(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	must(err)
	expect(len(ids) == 1000, "rows", len(ids))
	_, err = db.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"id"}, pgx.CopyFromRows([][]any{{int32(1)}}))
	expect(code(err) == "23505", "copy of a key that is there", err)
	soon, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = db.Exec(soon, "SELECT pg_sleep(60)")
	stop()
	expect(err != nil, "cancel")

	// The admin console: described first, everything in binary.
	config, err := pgx.ParseConfig("user=admin dbname=pgrotor password='" + os.Getenv("CONSOLE_PASSWORD") + "'")
	must(err)
	console, err := pgx.ConnectConfig(ctx, config)
	must(err)
	must(console.Ping(ctx))
	must(pgx.BeginFunc(ctx, console, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SHOW RANGES")
		must(err)
		for rows.Next() {
			var distribution, shard string
			var lower int64
			var upper *int64
			must(rows.Scan(&distribution, &lower, &upper, &shard))
		}
		must(rows.Err())
		_, err = tx.Exec(ctx, "SHOW NOTHING")
		expect(code(err) == "42601", "a wrong command", err)
		return nil
	}))
	must(console.Close(ctx))
	fmt.Println("pgx 5.5.5")
}

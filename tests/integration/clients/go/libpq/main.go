// Go's database/sql over lib/pq: prepared statements without declared types, transactions, COPY, cancel by context, errors, arrays.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lib/pq"
)

func must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%+v\n", err)
		panic(err)
	}
}

func expect(is bool, what string, values ...interface{}) {
	if !is {
		panic(fmt.Sprintf("%s: %v", what, values))
	}
}

func code(err error) string {
	var failure *pq.Error
	if errors.As(err, &failure) {
		return string(failure.Code)
	}
	return fmt.Sprint(err)
}

func main() {
	db, err := sql.Open("postgres", "sslmode=disable")
	must(err)
	db.SetMaxOpenConns(8)
	insert, err := db.Prepare("INSERT INTO accounts (id, owner, balance) VALUES ($1, $2, $3)")
	must(err)
	for key := 1; key <= 40; key++ {
		_, err = insert.Exec(key, fmt.Sprintf("owner %d", key), key)
		must(err)
	}
	find, err := db.Prepare("SELECT owner FROM accounts WHERE id = $1")
	must(err)
	for key := 1; key <= 40; key++ {
		var owner string
		must(find.QueryRow(key).Scan(&owner))
		expect(owner == fmt.Sprintf("owner %d", key), "owner", key, owner)
	}
	for number := 0; number < 30; number++ {
		token := fmt.Sprintf("%08x-0000-4000-8000-%012x", number*0x9e3779, number)
		_, err = db.Exec("INSERT INTO tokens VALUES ($1, $2)", token, fmt.Sprint(number))
		must(err)
		_, err = db.Exec("INSERT INTO words VALUES ($1, $2)", fmt.Sprintf("wörd %d", number), number)
		must(err)
		_, err = db.Exec("INSERT INTO entries VALUES ($1, 1, 'x')", number)
		must(err)
		var note string
		must(db.QueryRow("SELECT note FROM tokens WHERE token = $1", token).Scan(&note))
		expect(note == fmt.Sprint(number), "note", note)
	}
	var owner string
	must(db.QueryRow("SELECT owner FROM accounts WHERE id = ANY ($1)", pq.Array([]int64{5})).Scan(&owner))
	expect(owner == "owner 5", "any", owner)
	var balance float64
	must(db.QueryRow("UPDATE accounts SET balance = $1 + 1000 WHERE id = $1 RETURNING balance", 7).Scan(&balance))
	expect(balance == 1007, "a key with other uses", balance)

	// Transactions.
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	must(err)
	_, err = tx.Exec("UPDATE accounts SET balance = 0 WHERE id = $1", 5)
	must(err)
	must(tx.Rollback())
	tx, err = db.Begin()
	must(err)
	_, err = tx.Exec("UPDATE accounts SET balance = 50 WHERE id = 6")
	must(err)
	_, err = tx.Exec("INSERT INTO accounts VALUES (6, 'again')")
	expect(code(err) == "23505", "error", err)
	_, err = tx.Exec("SELECT 1")
	expect(code(err) == "25P02", "error", err)
	expect(tx.Commit() != nil, "commit of a failed transaction")
	must(db.QueryRow("SELECT balance FROM accounts WHERE id = 6").Scan(&balance))
	expect(balance == 6, "rolled back", balance)

	// COPY.
	tx, err = db.Begin()
	must(err)
	copyIn, err := tx.Prepare(pq.CopyIn("notes", "id", "body"))
	must(err)
	for number := 100; number < 1100; number++ {
		_, err = copyIn.Exec(number, fmt.Sprintf("copied %d", number))
		must(err)
	}
	_, err = copyIn.Exec()
	must(err)
	must(copyIn.Close())
	must(tx.Commit())
	var count int
	must(db.QueryRow("SELECT count(*) FROM notes").Scan(&count))
	expect(count == 1000, "copied", count)

	// Cancel.
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	_, err = db.ExecContext(ctx, "SELECT pg_sleep(60)")
	stop()
	expect(err != nil, "cancel")

	var wait sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for key := 1; key <= 40; key++ {
				var owner string
				must(find.QueryRow(key).Scan(&owner))
			}
		}()
	}
	wait.Wait()
	must(db.Close())
	fmt.Println("lib/pq 1.10.9")
}

/* DESIGN §9: two-phase commit decided by the last participant. One distributed transaction: p_0 … p_L-1 are prepared, p_L ("p_n" of the page) decides.
   Everything interleaves: messages in flight after their sender gave up, a slow or dead proxy, two recoverers, a purger, faults of shards.
   Run by spin_model.sh. -DN=3 for three participants; each -D below removes one rule and must give a counterexample:
   NO_OWNER  who reads the uuid in pg_prepared_xacts decides about it
   NO_UNIQUE no unique key on decisions        NO_WAIT       a conflicting insert in progress is not waited for
   NO_XMIN   purge without the xmin rule       NO_PREPCHECK  purge while a shard still has the uuid prepared   PURGE_ORDER prepared lists read before the row
   EARLY     COMMIT PREPARED before step 2     AGE_ONLY      the recoverer rolls back what is old              REC_EARLY   … or before its own row is committed
   NO_XID    p_n has no xid when step 1 starts (NOTIFY, held cursor, UPDATE of no row)     ASYNC  synchronous_commit = off in step 2
   MUTEX     adds a branch that wrote nothing and holds a lock (advisory, FOR UPDATE): prepared as well, let go last. MUTEX with
             LOCK_FIRST  it is committed in step 1's place     LOCK_PLAIN  it is kept open, not prepared, and committed after step 3
   READ_ROW  lost answer of step 2: read the row, absent means aborted   ROW_ANSWER  … ask as the recoverer does, and tell the client what the row says
   NO_UNSENT p_n found gone before step 2 was sent: asked for its verdict all the same, and the client told that nobody knows
   SENT_LOST … and gone behind it taken for the same: not asked, aborted */
#ifndef N
#define N 2
#endif
#define L (N-1)
#ifndef FAULTS
#define FAULTS 2                    /* crashes of shards and lost connections of recoverers */
#endif
mtype = { open, prepared, committed, aborted, none, ok, error, unknown };
#define OWNER 0                     /* writers of a decision row: the proxy's step 2, recoverers 1 and 2, the proxy's question after a lost answer */
#define ASKER 3
mtype st[N] = open;                 /* the participants, as their shards see them */
bool req[N], conn[N] = true;        /* step 1 or 2 on its way; the proxy still listens there */
mtype rep[N] = none;
bool pend[4];                       /* uncommitted decision rows */
bool row_commit, row_abort;         /* committed ones */
bool flushed = true, has_xid = true, dead, lock_free, sent;  /* sent: step 2 may be on its way */
mtype answer = none;                /* the client's */
byte faults;

#define SOME(x)     (st[0]==x || st[1]==x || (N>2 && st[N-1]==x))
#define PREPARED    (st[0]==prepared || (N>2 && st[1]==prepared))
#ifdef MUTEX
#define LET_GO      lock_free=true
#else
#define LET_GO      skip
#endif
#define ROW         (row_commit || row_abort)
#define OTHERS(me)  ((pend[0] && me!=0) || (pend[1] && me!=1) || (pend[2] && me!=2) || (pend[3] && me!=3))
#if defined(NO_UNIQUE)
#define MAY_INSERT(me) true
#define CONFLICT(me)   false
#elif defined(NO_WAIT)
#define MAY_INSERT(me) (me!=OWNER || !OTHERS(me))
#define CONFLICT(me)   (ROW || OTHERS(me))
#else
#define MAY_INSERT(me) (!OTHERS(me))          /* the unique index waits for the other transaction's end */
#define CONFLICT(me)   ROW
#endif

inline carry_out(k, v) { atomic { if :: st[k]==prepared -> st[k]=v :: else -> skip fi } }     /* COMMIT / ROLLBACK PREPARED; "does not exist": somebody did it */

/* INSERT (uuid,'abort') ON CONFLICT DO NOTHING, autocommit, then SELECT under a new snapshot; v = none: lost on the way, ask again */
inline ask(me, v) {
  atomic { MAY_INSERT(me) -> if :: CONFLICT(me) -> skip :: else -> pend[me]=true fi };
#ifdef REC_EARLY
  if :: me!=ASKER && pend[me] -> carry_out(i, aborted) :: else -> skip fi;
#endif
  if :: atomic { pend[me] -> pend[me]=false; row_abort=true }
     :: atomic { pend[me] && faults<FAULTS -> faults++; pend[me]=false }      /* its connection died: rolled back */
     :: !pend[me] -> skip
  fi;
  atomic { if
#ifdef NO_UNIQUE
     :: row_abort -> v=aborted
#endif
     :: row_commit -> v=committed
     :: !row_commit && row_abort -> v=aborted
     :: !ROW -> v=none
#ifdef NO_WAIT
     :: !ROW -> v=aborted
#endif
  fi } }

proctype proxy() { byte i; bool bad, mine; mtype v = none;
 {
  do :: i<L -> req[i]=true; i++ :: else -> break od;                 /* 1: PREPARE TRANSACTION in parallel */
  i=0;
  do :: i<L -> if :: rep[i]==ok :: rep[i]==error -> bad=true :: atomic { rep[i]==none -> conn[i]=false; bad=true } fi; i++
     :: else -> break od;
  if :: bad -> goto abort :: else -> skip fi;
#ifdef EARLY
  i=0; do :: i<L -> carry_out(i, committed); i++ :: else -> break od;
#endif
#ifdef LOCK_FIRST
  LET_GO;
#endif
  sent=conn[L];                                                      /* a look: who is gone has not done what was not sent */
#ifndef NO_UNSENT
  if :: !sent -> goto abort :: else fi;
#endif
  atomic { if :: conn[L] -> req[L]=true :: else fi };                /* 2: INSERT 'commit'; COMMIT in one message; gone behind the look: nobody sees it */
  if :: rep[L]==ok -> goto commit
     :: rep[L]==error -> goto abort                                  /* an ERROR followed by ReadyForQuery, not a FATAL */
     :: atomic { rep[L]==none -> conn[L]=false } fi;
#ifdef SENT_LOST
  goto abort;
#endif
  do                                                                 /* the answer is lost, the message may still be on its way */
  :: answer=unknown; goto done                                       /* the budget ends: 08007 */
#ifdef READ_ROW
  :: atomic { row_commit -> goto commit } 
  :: atomic { !row_commit -> goto abort }
#else
  :: ask(ASKER, v);
     if :: v==committed -> goto commit :: v==aborted -> break :: else -> skip fi
#endif
  od;
  i=0;                                                               /* the row says abort; it may be younger than a purged 'commit' */
  do :: i<L -> atomic { if :: st[i]==prepared -> st[i]=aborted; mine=true :: else -> skip fi }; i++ :: else -> break od;
#ifdef ROW_ANSWER
  answer=error;
#else
  if :: mine -> answer=error :: else -> answer=unknown fi;           /* one that it rolled back itself proves the abort */
#endif
  goto done;
commit:
  i=0; do :: i<L -> if :: carry_out(i, committed) :: skip fi; i++ :: else -> break od;      /* 3; skip: no answer within the budget, WARNING */
#ifdef MUTEX
  if :: !PREPARED -> LET_GO :: PREPARED fi;
#endif
  answer=ok; goto done;
abort:
  atomic { conn[L]=false; if :: st[L]==open && !req[L] -> st[L]=aborted :: else -> skip fi };
  i=0; do :: i<L -> atomic { conn[i]=false; if :: st[i]==prepared -> st[i]=aborted :: else -> skip fi }; i++ :: else -> break od;
  LET_GO; answer=error;
done: skip
 } unless { atomic { dead -> i=0; do :: i<N -> conn[i]=false; i++ :: else -> break od;
            if :: pend[ASKER] -> pend[ASKER]=false; row_abort=true :: pend[ASKER]=false fi;
#ifdef LOCK_PLAIN
            LET_GO
#endif
            } } }

#ifdef NO_OWNER                        /* with the rule its row is one of another owner's, which nobody asks for */
active proctype stranger() { if :: atomic { MAY_INSERT(4) && !CONFLICT(4) -> row_commit=true } :: skip fi }
#endif

active proctype fate() { if :: dead=true :: skip fi }                 /* the proxy may die at any step */

/* a shard's backend for this transaction; works off what was sent even when the sender is gone; a crash keeps what is prepared or committed */
proctype backend(byte k) {
end: do
  :: atomic { req[k] && st[k]==open -> req[k]=false;
       if :: st[k]=prepared; if :: conn[k] -> rep[k]=ok :: else -> skip fi
          :: st[k]=aborted; if :: conn[k] -> rep[k]=error :: else -> skip fi fi }
  :: atomic { !conn[k] && st[k]==open -> req[k]=false; st[k]=aborted }         /* it notices that the client is gone */
  :: atomic { faults<FAULTS -> faults++; req[k]=false; conn[k]=false; if :: st[k]==open -> st[k]=aborted :: else -> skip fi }
  od }

proctype decider() {
end: do
  :: atomic { req[L] && st[L]==open && !pend[OWNER] && MAY_INSERT(OWNER) ->
       if :: CONFLICT(OWNER) -> st[L]=aborted; req[L]=false; if :: conn[L] -> rep[L]=error :: else -> skip fi     /* a late step 2 meets the unique key */
          :: else -> pend[OWNER]=true; has_xid=true fi }
  :: atomic { pend[OWNER] -> pend[OWNER]=false; req[L]=false;
       if :: st[L]=committed; row_commit=true; if :: conn[L] -> rep[L]=ok :: else -> skip fi;
#ifdef ASYNC
             flushed=false
#endif
          :: st[L]=aborted; if :: conn[L] -> rep[L]=error :: else -> skip fi fi }                                /* deferred constraint, 40001 */
  :: atomic { !conn[L] && st[L]==open && !pend[OWNER] -> req[L]=false; st[L]=aborted }
  :: atomic { !flushed -> flushed=true }
  :: atomic { faults<FAULTS -> faults++; req[L]=false; conn[L]=false; pend[0]=false; pend[1]=false; pend[2]=false; pend[3]=false;
       if :: st[L]==open -> st[L]=aborted :: !flushed -> st[L]=aborted; row_commit=false; flushed=true :: else -> skip fi }
  od }

proctype recoverer(byte me) { byte i; mtype v = none;                  /* "older than its time" may be at once */
end: do
  :: atomic { PREPARED -> if :: st[0]==prepared -> i=0 :: N>2 && st[1]==prepared -> i=1 fi };
#ifdef AGE_ONLY
     v=aborted;
#else
     ask(me, v);
#endif
     if :: v!=none -> carry_out(i, v) :: else -> skip fi;
     atomic { i=0; v=none }
#if defined(MUTEX) && !defined(LOCK_PLAIN)
  :: atomic { !lock_free && !PREPARED && st[L]!=open -> lock_free=true }     /* the gid of a branch that only locks: after all others of its uuid */
#endif
  od }

proctype purger() { byte i;
end: do
#ifdef PURGE_ORDER
  :: st[0]!=prepared && (N==2 || st[1]!=prepared) ->
endlate: ROW;
#else
  :: ROW ->                                                            /* first the row, then the lists: all were prepared before a 'commit' was written */
#endif
#ifndef NO_XMIN
     (st[L]!=open || !has_xid);                                        /* pg_snapshot_xmin has passed the row's writer */
#endif
#if !defined(NO_PREPCHECK) && !defined(PURGE_ORDER)
     st[0]!=prepared; (N==2 || st[1]!=prepared);
#endif
     atomic { row_commit=false; row_abort=false }
  od }

active proctype monitor() {
end: if
  :: atomic { SOME(committed) && SOME(aborted) -> printf("atomicity\n"); assert(false) }
  :: atomic { answer==ok && (st[L]!=committed || SOME(aborted)) -> printf("the client was told COMMIT\n"); assert(false) }
  :: atomic { answer==error && SOME(committed) -> printf("the client was told an error\n"); assert(false) }
  :: atomic { answer==unknown && !sent -> printf("the client was told that nobody knows what nobody was asked\n"); assert(false) }
#ifdef MUTEX
  :: atomic { lock_free && st[L]==committed && PREPARED -> printf("a lock was let go before the work that it guards was to be seen\n"); assert(false) }
#endif
  :: timeout -> assert(!PREPARED && !ROW && !SOME(open) && (dead || answer!=none))             /* all at rest: nothing is left */
  fi }

init { atomic { byte i;
#ifdef NO_XID
  has_xid=false;
#endif
  do :: i<L -> run backend(i); i++ :: else -> break od;
  run decider(); run proxy(); run recoverer(1); run recoverer(2); run purger() } }

#ifdef LIVE
ltl at_rest { <>[] (!PREPARED) }                                       /* weak fairness: compile with -DNFAIR=3, run pan -a -f */
#endif

/* DESIGN §9 "What a scattered statement sees": the barrier. C writes row r on shards 0 and 1 and commits on both; sessions 1 and 2 run one scattered statement each (a read, or one
   that locks r or q), perhaps in a transaction that holds row q already; a gate that drains C; a pool of two connections on shard 1; a recoverer. A portal of a SELECT
   has its snapshot at Bind (Parse, Bind, Flush: BindComplete), which waits for no row lock. Run by spin_model.sh. Each -D takes a rule away:
   NO_BARRIER     none                                       SHORT       C lets it go after step 2: harmless with NO_FINISH's rule in force, not without
   FIRST_RESPONSE shared until the first response of the statement itself (text of §9 where a row lock is waited for), not until all have sent BindComplete
   GATE_INSIDE    taken before the gate        POOL_INSIDE   taken before every branch has its connection
   TABLE          C also holds a table lock on shard 1, for which Bind waits: C's budget ends, C goes on, who holds the barrier discards what he has and binds again
   TABLE NO_YIELD C waits on     TABLE NO_DISCARD  C goes on, the others keep what they have
   NO_FINISH      after a WARNING (step 3 without an answer from shard 1) a statement goes to that shard without finishing the prepared branch first */
#define C 3
#define BAD(x) printf(x); assert(false)
bool vis[2], prepared, gate, ended, table, inx, wantx, taint[3], sh[3];
byte r[2], q, conns = 2;
#define HELD (sh[1] || sh[2])

proctype session(byte me) { byte want; bool a, b, mine;
  if :: atomic { q==0 -> q=me; mine=true } :: skip fi;
  if :: want=0 :: want=1 :: !mine -> want=2 fi;                                  /* nothing, r, q */
again:
#ifdef GATE_INSIDE
  atomic { !inx && !wantx -> sh[me]=true };
#endif
  if :: !gate || mine fi;                                                        /* who holds locks runs on (§9) */
#ifdef POOL_INSIDE
  atomic { !inx && !wantx -> sh[me]=true };
#endif
  atomic { conns>0 -> conns-- };
#if !defined(NO_BARRIER) && !defined(GATE_INSIDE) && !defined(POOL_INSIDE)
  atomic { !inx && !wantx -> sh[me]=true };
#endif
#ifndef NO_FINISH
  atomic { if :: prepared && vis[0] && !inx -> vis[1]=true; prepared=false; if :: r[1]==C -> r[1]=0 :: else -> skip fi; table=false :: else -> skip fi };
#endif
  if :: a=vis[0]; atomic { !table -> b=vis[1] } :: atomic { !table -> b=vis[1] }; a=vis[0] fi;
#ifndef NO_DISCARD
  if :: atomic { taint[me] -> taint[me]=false; sh[me]=false; conns++; goto again } :: atomic { !taint[me] -> 
#else
  if :: atomic { true ->
#endif
#ifndef FIRST_RESPONSE
     sh[me]=false;
#endif
     if :: a!=b -> BAD("half seen\n") :: else -> skip fi } fi;
  if :: want==0 -> skip
     :: want==1 -> atomic { r[0]==0 -> r[0]=me }; atomic { r[1]==0 -> r[1]=me }
     :: want==2 -> atomic { q==0 -> q=me } fi;
  atomic { sh[me]=false; conns++; if :: r[0]==me -> r[0]=0 :: else -> skip fi; if :: r[1]==me -> r[1]=0 :: else -> skip fi; if :: q==me -> q=0 :: else -> skip fi }
}

proctype commit() {
  atomic { conns>0 -> conns-- };
  atomic { r[0]==0 -> r[0]=C }; atomic { r[1]==0 -> r[1]=C };
#ifdef TABLE
  table=true;
#endif
  prepared=true;                                                                 /* 1 */
  wantx=true;
#ifdef NO_BARRIER
  skip;
#else
  if :: atomic { !HELD -> inx=true }
#if defined(TABLE) && !defined(NO_YIELD)
     :: atomic { HELD -> if :: sh[1] -> taint[1]=true :: else -> skip fi; if :: sh[2] -> taint[2]=true :: else -> skip fi; inx=true }      /* its budget ends */
#endif
  fi;
#endif
  atomic { vis[0]=true; r[0]=0 };                                                /* 2 */
#ifdef SHORT
  atomic { inx=false; wantx=false };
#endif
  if :: atomic { if :: prepared -> vis[1]=true; prepared=false; table=false; if :: r[1]==C -> r[1]=0 :: else -> skip fi :: else -> skip fi }      /* 3 */
     :: skip                                                                     /* no answer within the budget: WARNING */
  fi;
  atomic { inx=false; wantx=false; conns++; ended=true }
}

proctype recoverer() { end: atomic { ended && prepared -> vis[1]=true; prepared=false; table=false; if :: r[1]==C -> r[1]=0 :: else -> skip fi } }
proctype gates()     { gate=true; ended; gate=false }

active proctype monitor() { end: atomic { timeout -> if :: !ended || gate || conns<2 || HELD -> BAD("deadlock until the budget\n") :: else -> assert(!prepared && !table && r[0]==0 && r[1]==0 && q==0) fi } }
init { atomic { run session(1); run session(2); run commit(); run recoverer(); run gates() } }

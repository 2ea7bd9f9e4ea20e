#!/bin/bash
# Drives any SIP switch on loopback between a sipp caller and a sipp callee and prints what a call
# costs it.  See README.md.  Everything it starts is bounded in count and time and is ended by PID.
set -u
here=$(cd "$(dirname "$0")" && pwd)
target=127.0.0.1:15060 uas=127.0.0.1:15080 uacport=15070 pid= defs= kam=0 scen=uac rates=200 secs=10 calls=
hold=0 tp=u1 events= service=bob warm=200 work=${TMPDIR:-/tmp}/sipbench.$$ quiet=0 cap=
usage() { cat <<U
drive.sh [-t HOST:PORT] -p PID | -k [-A "WITH_DIALOG ..."]   switch under test, its PID; -k starts Kamailio itself
       [-s uac|register|options] [-r RATE | -r "R1 R2 R3"]   scenario; a list is a sweep, it ends at the first unclean rate
       [-D seconds=10 | -n calls] [-d hold_ms=0] [-T u1|t1|tn|l1]  run length, hold time, sipp transport
       [-u UAS_HOST:PORT] [-c caller_port] [-e event_file] [-S service] [-w warm-up calls=200] [-o keep_dir]
A run is clean when: failed = 0, retransmissions (caller and callee) = 0, achieved rate >= 97 % of asked.
U
exit 2; }
while getopts "t:p:ks:r:n:D:d:T:u:c:e:S:w:o:A:qh" o; do case $o in
 t) target=$OPTARG;; p) pid=$OPTARG;; k) kam=1;; A) defs=$OPTARG;; s) scen=$OPTARG;; r) rates=$OPTARG;; n) calls=$OPTARG;;
 D) secs=$OPTARG;; d) hold=$OPTARG;; T) tp=$OPTARG;; u) uas=$OPTARG;; c) uacport=$OPTARG;; e) events=$OPTARG;;
 S) service=$OPTARG;; w) warm=$OPTARG;; o) work=$OPTARG;; q) quiet=1;; *) usage;; esac; done
[ $kam = 1 ] || [ -n "$pid" ] || usage
mkdir -p "$work"; mine=()
stop() { for p in "${mine[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done; sleep 0.3; for p in "${mine[@]:-}"; do [ -n "$p" ] && kill -9 "$p" 2>/dev/null; done; wait 2>/dev/null; }
trap 'stop; exit 130' INT TERM

tree() { # the PID and all its descendants, from one pass over /proc/*/stat
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v r="$1" '{i=$0; pid=$1; sub(/^.*\) /,"",i); split(i,f," "); pp[pid]=f[2]} END {for (p in pp){q=p; n=0; while(q!=r&&q>1&&n++<64)q=pp[q]; if(q==r)print p}}'; }
ticks() { # user and system clock ticks of the tree
  local u=0 s=0 a; for p in $1; do a=$(sed 's/^.*) //' /proc/$p/stat 2>/dev/null) || continue; set -- $a; u=$((u+${12:-0})); s=$((s+${13:-0})); done; echo $u $s; }
cpuns() { local p; for p in $1; do cat /proc/$p/task/*/schedstat 2>/dev/null; done | awk '{s+=$1} END{printf "%.0f\n", s}'; } # exact, where stat counts 10 ms ticks a process
pss() { local k=0 v; for p in $1; do v=$(awk '/^Pss:/{print $2}' /proc/$p/smaps_rollup 2>/dev/null); k=$((k+${v:-0})); done; echo $k; }
cpuall() { awk '/^cpu /{print $2+$3+$4+$7+$8, $5+$6, $9; exit}' /proc/stat; }
col() { awk -F';' -v c="$2" 'NR==1{for(i=1;i<=NF;i++)if($i==c)k=i} {l=$0} END{split(l,f,";"); print f[k]}' "$1" 2>/dev/null; }
HZ=$(getconf CLK_TCK)

if [ $kam = 1 ]; then
  a=(-A "LISTEN=udp:$target"); for d in $defs; do a+=(-A "$d"); done
  case $tp in t*) a=(-A WITH_TCP -A "LISTEN=tcp:$target");for d in $defs; do a+=(-A "$d"); done;; esac
  a+=(-A "UAS_HOST=\"${uas%:*}\"" -A "UAS_PORT=\"${uas#*:}\"")
  [ $scen = register ] && a+=(-A WITH_REG)
  events=${events:-$work/acc.log}
  kamailio -f "$here/kamailio.cfg" "${a[@]}" ${KAM_MEM--x fm -X fm} -DD -E -m ${KAM_SHM:-2048} -M 16 -P "$work/kamailio.pid" 2>"$events" >/dev/null & pid=$!; mine+=($pid)
  sleep 2; kill -0 $pid 2>/dev/null || { echo "kamailio did not start:"; head -20 "$events"; exit 1; }
fi

one() { # rate calls label
  local rate=$1 n=$2 label=$3 d="$work/$3"; mkdir -p "$d"; local lim=$((rate*(hold/1000+2)+1000)) max=$((n/rate+hold/1000+40))
  local up=0
  if [ $scen = uac ]; then
    (cd "$d" && exec sipp -sf "$here/uas.xml" -i ${uas%:*} -p ${uas#*:} -t $tp -nostdin -buff_size 4194304 -trace_stat -stf "$d/uas.csv" -fd 1 -timer_resol 5 -aa \
      -timeout $((max+20))s -deadcall_wait 0 -trace_counts -trace_err -error_file "$d/uas.errors" >/dev/null 2>"$d/uas.err" </dev/null) & up=$!; mine+=($up); sleep 0.5
  fi
  local inf=(); [ $scen = register ] && { inf=(-inf "$d/users.csv"); { echo SEQUENTIAL; for i in $(seq 0 999); do echo "u$i;[authentication username=u$i password=secret]"; done; } >"$d/users.csv"; }
  local procs; procs=$(tree $pid | tr '\n' ' ')
  local ev0=0 eb0=0; [ -n "$events" ] && [ -f "$events" ] && { ev0=$(wc -l <"$events"); eb0=$(wc -c <"$events"); }
  read u0 s0 <<<"$(ticks "$procs")"; local n0=$(cpuns "$procs"); read b0 i0 st0 <<<"$(cpuall)"; local t0=$(date +%s.%N)
  sipp -sf "$here/$scen.xml" $target "${inf[@]}" -s "$service" -i ${target%:*} -p $uacport -t $tp -nostdin -buff_size 4194304 -trace_stat -stf "$d/uac.csv" -fd 1 -timer_resol 5 -aa \
    -r $rate -m $n -l $lim -d $hold -timeout ${max}s -deadcall_wait 0 -recv_timeout 20000 -trace_err -error_file "$d/uac.errors" >/dev/null 2>"$d/uac.err" </dev/null & local cp=$!; mine+=($cp)
  local sippcpu=0 rss=0 k=0 a v; while kill -0 $cp 2>/dev/null; do a=$(sed 's/^.*) //' /proc/$cp/stat 2>/dev/null) && { set -- $a; sippcpu=$((${12:-0}+${13:-0})); }; [ $((k++ % 4)) = 3 ] && { v=$(pss "$procs"); [ "$v" -gt $rss ] && rss=$v; }; sleep 0.5; done
  wait $cp; local rc=$?; local t1=$(date +%s.%N) n1=$(cpuns "$procs"); read u1 s1 <<<"$(ticks "$procs")"; read b1 i1 st1 <<<"$(cpuall)"
  local uascpu=0; [ $up != 0 ] && { a=$(sed 's/^.*) //' /proc/$up/stat 2>/dev/null) && { set -- $a; uascpu=$((${12:-0}+${13:-0})); }; sleep 1.2; kill $up 2>/dev/null; wait $up 2>/dev/null; }
  local ev1=0 eb1=0; [ -n "$events" ] && [ -f "$events" ] && { ev1=$(wc -l <"$events"); eb1=$(wc -c <"$events"); }
  local ok=$(col "$d/uac.csv" 'SuccessfulCall(C)') bad=$(col "$d/uac.csv" 'FailedCall(C)') rt=$(col "$d/uac.csv" 'Retransmissions(C)') rtu=0 badu=0
  [ $scen = uac ] && { rtu=$(col "$d/uas.csv" 'Retransmissions(C)'); badu=$(col "$d/uas.csv" 'FailedCall(C)'); }
  local r1=$(col "$d/uac.csv" 'ResponseTime1(C)') el=$(col "$d/uac.csv" 'ElapsedTime(C)'); local ring=0; [ $scen = uac ] && ring=0.1
  el=$(awk -v e="$el" -v h=$hold -v r=$ring 'BEGIN{split(e,a,":"); x=a[1]*3600+a[2]*60+a[3]+a[4]/1e6-h/1000-r; if (x<0.001) x=0.001; print x}')
  clean=$(awk -v rate=$rate -v ok=${ok:-0} -v bad=${bad:-0} -v rt=${rt:-0} -v rtu=${rtu:-0} -v badu=${badu:-0} -v n=$n -v el=$el 'BEGIN{print (bad==0&&badu==0&&rt==0&&rtu==0&&ok==n&&ok/el>=0.97*rate)?"clean":"UNCLEAN"}')
  awk -v L="$label" -v c=$clean -v rate=$rate -v ok=${ok:-0} -v bad=${bad:-0} -v rt=${rt:-0} -v rtu=${rtu:-0} -v t0=$t0 -v t1=$t1 -v hz=$HZ -v u=$((u1-u0)) -v s=$((s1-s0)) -v ns=$((n1-n0)) -v rss=$rss -v sc=$sippcpu -v uc=$uascpu -v b=$((b1-b0)) -v i=$((i1-i0)) -v st=$((st1-st0)) -v r1="$r1" -v ev=$((ev1-ev0)) -v eb=$((eb1-eb0)) -v el=$el 'BEGIN{
    w=t1-t0; n=ok>0?ok:1; sw=(u+s)/hz; if (ns/1e9>sw*0.9) sw=ns/1e9; us=u+s>0?u/(u+s):0; printf "%-14s %-7s asked %6d cps  got %7.0f  ok %7d failed %d retrans %d+%d | CPU us/call %6.1f (user %.1f sys %.1f)  %.2f cores | rss %.1f MB | rtd1 %s | sipp cores %.2f+%.2f others %.2f | events/call %.2f bytes %.0f\n",
    L,c,rate,ok/el,ok,bad,rt,rtu,sw*1e6/n,sw*us*1e6/n,sw*(1-us)*1e6/n,sw/w,rss/1024,r1,sc/hz/w,uc/hz/w,(b-u-s-sc-uc)/hz/w,ev/n,eb/n}'
  [ $clean = clean ]
}
[ $warm -gt 0 ] && { h=$hold; hold=0; one 100 $warm warm-up >/dev/null; hold=$h; }
rc=0; for r in $rates; do n=${calls:-$((r*secs))}; one $r $n "$scen-$r-h$hold" || { rc=1; break; }; done
stop; [ -n "${KEEP:-}" ] || case $work in */sipbench.*) rm -rf "$work";; esac
exit $rc

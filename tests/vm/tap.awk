# Judges one test: reads its standard output and prints "VERDICT<tab>SUMMARY", VERDICT being PASS,
# FAIL or SKIP. The one place where that is decided.
#
#   awk -v status=N -v limit=SECONDS -v timed_out=0|1 -f tap.awk OUTPUT
#
#	exit status | TAP                                   | verdict
#	0           | none; or complete, nothing not ok     | PASS
#	0           | plan 1..0, or every point skipped     | SKIP
#	77          | nothing not ok                        | SKIP
#	any         | not ok, bail out, plan not met        | FAIL
#	other       | any                                   | FAIL
#
# "not ok # TODO" is expected and no failure. Several plans add up (cmocka prints one per group).
# Indented lines are subtests, whose sum is a line of its own. What is no TAP is ignored, but for the first and the last
# words since the point before, which are quoted of the first that is not ok: a log of CI may be cut.
{ sub(/\r$/, "") }
/^1\.\.[0-9]+/ {
	plans++
	planned += substr($1, 4)
	if ($1 == "1..0")
		reason = comment($0)
	next
}
/^(not )?ok([ \t]|$)/ {
	points++
	directive = toupper($0)
	if (directive ~ /#[ \t]*TODO/)
		todo++
	else if (/^not/) {
		bad++
		if (bad == 1) {
			first = $0
			if (words != "")
				first = first " (" words (last == words ? "" : " ... " last) ")"
		}
	} else if (directive ~ /#[ \t]*SKIP/) {
		skipped++
		if (reason == "")
			reason = comment($0)
	} else
		good++
	words = ""
	next
}
/^Bail out!/ {
	bail = $0
	next
}
NF {
	last = $0
	sub(/^#[ \t]*/, "", last)
	if (words == "")
		words = last
}
function comment(line) {
	if (!match(line, /#/))
		return ""
	line = substr(line, RSTART + 1)
	sub(/^[ \t]*[Ss][Kk][Ii][Pp][A-Za-z]*:?[ \t]*/, "", line)
	return line
}
function add(list, item) {
	return list == "" ? item : item == "" ? list : list ", " item
}
END {
	counts = ""
	if (points) {
		counts = good + 0 " ok"
		if (bad) counts = add(counts, bad " not ok")
		if (skipped) counts = add(counts, skipped " skipped")
		if (todo) counts = add(counts, todo " todo")
	}
	why = ""
	if (timed_out)
		why = "no end after " limit " s"
	else if (status > 128 && status < 193)
		why = "killed by signal " status - 128
	else if (status != 0 && status != 77)
		why = "exit status " status
	if (bad)
		why = add(why, first)
	if (bail != "")
		why = add(why, bail)
	if (why == "" && status == 0) {
		if (points && !plans)
			why = "TAP without a plan"
		else if (plans && points != planned)
			why = planned " planned, " points + 0 " run"
	}
	if (why != "")
		print "FAIL\t" add(why, counts)
	else if (status == 77 || plans && !planned || points && skipped == points) {
		if (reason == "")
			reason = last
		print "SKIP\t" (reason == "" ? "gave no reason" : reason)
	} else
		print "PASS\t" (counts == "" ? "no TAP" : counts)
}

# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# VERB UNIT PROGRAM USER DIRECTORY LOG [SOURCE NAME]...
# check: status 0 if it runs with what the sources have; DIRECTORY has copies of them under their names.
# look: prints something if it runs. stop, start: without a unit, what an init system would do.
set -eu
verb=$1 unit=$2 program=$3 user=$4 directory=$5 log=$6
shift 6

runs() {
  if test -n "$unit"; then
    systemctl is-active --quiet "$unit" && test "$(systemctl show --property NeedDaemonReload --value "$unit")" = no
  else
    pid=$(cat "$directory.pid" 2>/dev/null) && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$directory/config.yml"
  fi
}

if test "$verb" = check; then
  runs || exit 1
  while test $# -gt 0; do
    cmp -s "$1" "$directory/$2" || exit 1
    shift 2
  done
  exit 0
fi

if runs; then
  echo it runs
  test "$verb" = look || kill "$pid"
  while test "$verb" != look && runs; do sleep 0.1; done
fi

if test "$verb" = start; then
  install -d -m 0755 "$(dirname "$directory")"
  rm -rf "$directory"
  install -d -m 0700 -o "$user" "$directory"
  while test $# -gt 0; do
    install -m 0400 -o "$user" "$1" "$directory/$2"
    shift 2
  done
  setsid setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups "$program" serve "$directory/config.yml" </dev/null >>"$log" 2>&1 &
  echo $! >"$directory.pid"
fi

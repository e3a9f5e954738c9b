#!/bin/bash
# Entry point of the assembled PostgreSQL image: creates the cluster once, then becomes the server.
# Understands what Compose files use of the official image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB,
# POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, each also as NAME_FILE, and /docker-entrypoint-initdb.d/*.{sql,sh}.
set -Eeuo pipefail

# value NAME DEFAULT: $NAME, or the content of the file that $NAME_FILE names, or DEFAULT.
value() {
    local file_name="$1_FILE"
    if [ -n "${!1:-}" ] && [ -n "${!file_name:-}" ]; then
        echo "error: both $1 and $file_name are set" >&2
        exit 1
    elif [ -n "${!1:-}" ]; then
        printf '%s' "${!1}"
    elif [ -n "${!file_name:-}" ]; then
        cat "${!file_name}"
    else
        printf '%s' "$2"
    fi
}

# Runs SQL from stdin in the database $1; further arguments go to psql.
sql() {
    local database=$1
    shift
    PGPASSWORD=$password psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
        --host /var/run/postgresql --username "$user" --dbname "$database" "$@"
}

create_cluster() {
    if [ -z "$password" ] && [ "$auth" != trust ]; then
        echo "error: the database is not initialised and POSTGRES_PASSWORD (or _FILE) is not set" >&2
        exit 1
    fi
    local initdb_args=()
    read -r -a initdb_args <<< "$(value POSTGRES_INITDB_ARGS '')"
    # A cluster that was cut short is not a cluster: it is made beside and moved into place when complete.
    local draft="$PGDATA/.portside-draft"
    rm -rf "$draft"
    if [ -n "$password" ]; then
        initdb --pgdata "$draft" --username "$user" --pwfile <(printf '%s\n' "$password") \
            --auth-host "$auth" "${initdb_args[@]}"
    else
        initdb --pgdata "$draft" --username "$user" --auth-host "$auth" "${initdb_args[@]}"
    fi
    printf '\nhost all all all %s\n' "$auth" >> "$draft/pg_hba.conf"

    pg_ctl --pgdata "$draft" --wait --timeout 60 -o "-c listen_addresses=''" start > /dev/null
    if [ "$database" != postgres ]; then
        sql postgres --set database="$database" <<< 'CREATE DATABASE :"database";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) sql "$database" < "$file" ;;
            *.sh) bash "$file" ;;
        esac
    done
    pg_ctl --pgdata "$draft" --mode fast --wait --timeout 60 stop > /dev/null

    # PG_VERSION marks a cluster as complete, so it moves last.
    find "$draft" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv --target-directory "$PGDATA" {} +
    mv "$draft/PG_VERSION" "$PGDATA/PG_VERSION"
    rmdir "$draft"
}

if [ "${1:0:1}" = '-' ]; then
    set -- postgres "$@"
fi

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA"
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres {} +
    exec setpriv --reuid postgres --regid postgres --init-groups --inh-caps=-all -- "$0" "$@"
fi

if [ "$1" = postgres ]; then
    user=$(value POSTGRES_USER postgres)
    password=$(value POSTGRES_PASSWORD '')
    database=$(value POSTGRES_DB "$user")
    auth=$(value POSTGRES_HOST_AUTH_METHOD scram-sha-256)
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        create_cluster
    fi
    unset POSTGRES_PASSWORD password
fi

exec "$@"

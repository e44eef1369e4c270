/*
Stands in for dbt 2's BigQuery driver (ADBC), in tests only: Apache's driver, and what dbt's own fork has beyond it.

Apache's driver fills the table of functions, and those below take the place of a few:

- Traffic to Google's hosts goes through the bench's proxy (`proxy.py`). Go's client learns that from HTTPS_PROXY and
  SSL_CERT_FILE, which dbt's own environment need not have: they are made from ADBC_BENCH_PROXY and ADBC_BENCH_CA_FILE
  before Go looks. Where dbt was started with an HTTPS_PROXY, it is left as it is.
- `api_endpoint`: the file ADBC_BENCH_ENDPOINTS/<process> tells the proxy where this process' REST requests go.
- Options of a statement that Apache's driver lacks are written behind the SQL, as a comment of hexadecimal values, which
  the proxy takes out again and does what they say.
- Every statement is waited for; Apache's does not wait for those whose result nobody wants.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint8_t Status;
enum { OK = 0, INTERNAL = 9 };

struct AdbcError;
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, void *);
  int (*get_next)(struct ArrowArrayStream *, void *);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};
/* A database, connection or statement begins with what its driver keeps for it. */
struct Handle {
  void *private_data;
  void *private_driver;
};

/* The functions of ADBC 1.1 in their order; those that are never looked at here have no type. */
typedef Status SetOption(struct Handle *, const char *, const char *, struct AdbcError *);
typedef Status SetOptionBytes(struct Handle *, const char *, const uint8_t *, size_t, struct AdbcError *);
typedef Status SetOptionInt(struct Handle *, const char *, int64_t, struct AdbcError *);
typedef Status SetSql(struct Handle *, const char *, struct AdbcError *);
typedef Status Execute(struct Handle *, struct ArrowArrayStream *, int64_t *, struct AdbcError *);
typedef Status Simple(struct Handle *, struct AdbcError *);
struct Driver {
  void *private_data, *private_manager, *release;
  Simple *DatabaseInit;
  void *DatabaseNew;
  SetOption *DatabaseSetOption;
  void *DatabaseRelease;
  void *connection[11]; /* from ConnectionCommit to ConnectionRollback */
  void *StatementBind, *StatementBindStream;
  Execute *StatementExecuteQuery;
  void *StatementExecutePartitions, *StatementGetParameterSchema, *StatementNew, *StatementPrepare;
  Simple *StatementRelease;
  SetOption *StatementSetOption;
  SetSql *StatementSetSqlQuery;
  void *StatementSetSubstraitPlan;
  void *errors[3], *database_options[4], *database_set[3], *connection_1_1[10];
  void *StatementCancel, *StatementExecuteSchema, *statement_get[4];
  SetOptionBytes *StatementSetOptionBytes;
  void *StatementSetOptionDouble;
  SetOptionInt *StatementSetOptionInt;
};
typedef Status Init(int, void *, struct AdbcError *);

static struct Driver apache;
static char **environment; /* as the process was started with; Go reads this very block */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void remember(int argc, char **argv) { environment = argv + argc + 1; }

static char **variable(const char *name) {
  size_t length = strlen(name);
  for (char **each = environment; *each; each++)
    if (!strncmp(*each, name, length) && (*each)[length] == '=') return each;
  return NULL;
}

/* Give a variable of the environment another name and value; of two with one name Go takes the first. */
static void rename_variable(const char *from, const char *name, const char *value) {
  char **there = variable(name), **slot = there ? there : variable(from), *text;
  if (slot && asprintf(&text, "%s=%s", name, value) > 0) *slot = text;
}

static void show_go_the_proxy(void) {
  const char *proxy = getenv("ADBC_BENCH_PROXY"), *ca = getenv("ADBC_BENCH_CA_FILE");
  if (!proxy || getenv("HTTPS_PROXY") || getenv("https_proxy")) return;
  char *url;
  if (asprintf(&url, "http://%d:@%s", (int)getpid(), proxy) < 0) return;
  rename_variable("ADBC_BENCH_PROXY", "HTTPS_PROXY", url);
  if (ca) rename_variable("ADBC_BENCH_CA_FILE", "SSL_CERT_FILE", ca);
}

/* -- a database -- */

static Status set_database_option(struct Handle *database, const char *key, const char *value,
                                  struct AdbcError *error) {
  static int impersonates;
  if (!strcmp(key, "adbc.bigquery.sql.api_endpoint")) {
    char path[4096];
    const char *folder = getenv("ADBC_BENCH_ENDPOINTS");
    if (!folder) return INTERNAL; /* not on the bench: nobody would honour it */
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    FILE *file = fopen(path, "w");
    if (!file) return INTERNAL;
    fputs(value, file);
    fclose(file);
    return OK;
  }
  if (!strcmp(key, "adbc.bigquery.sql.impersonate.target_principal")) impersonates = 1;
  /* dbt always names scopes, which for Apache's driver are impersonation. */
  if (!strcmp(key, "adbc.bigquery.sql.impersonate.scopes") && !impersonates) return OK;
  if (!strcmp(key, "adbc.bigquery.sql.auth_type") && strstr(value, "json_credential")) {
    Status status = apache.DatabaseSetOption(database, "bigquery.auth.credentials_type", "service_account", error);
    if (status != OK) return status;
  }
  return apache.DatabaseSetOption(database, key, value, error);
}

/* -- a statement -- */

struct Statement {
  void *key; /* Apache's own handle of it */
  char *sql, *options;
  struct Statement *next;
};
static struct Statement *statements;

static struct Statement *known(struct Handle *handle) {
  pthread_mutex_lock(&lock);
  struct Statement *each = statements;
  while (each && each->key != handle->private_data) each = each->next;
  if (!each) {
    each = calloc(1, sizeof *each);
    each->key = handle->private_data;
    each->options = strdup("");
    each->next = statements;
    statements = each;
  }
  pthread_mutex_unlock(&lock);
  return each;
}

static int ours(const char *key) {
  static const char *const prefixes[] = {"query.labels", "query.link_failed_job", "query.use_storage_api_disabled_client"};
  static const char *const others[] = {"ingest.", "table.", "dataset.", "copy_table."};
  if (strncmp(key, "adbc.bigquery.", 14)) return 0;
  for (int i = 0; i < 3; i++)
    if (!strncmp(key + 14, "sql.", 4) && !strcmp(key + 18, prefixes[i])) return 1;
  for (int i = 0; i < 4; i++)
    if (!strncmp(key + 14, others[i], strlen(others[i]))) return 1;
  return 0;
}

static void keep(struct Handle *handle, const char *key, const uint8_t *value, size_t length) {
  struct Statement *statement = known(handle);
  char *hex = malloc(2 * length + 1), *text;
  for (size_t i = 0; i < length; i++) sprintf(hex + 2 * i, "%02x", value[i]);
  hex[2 * length] = 0;
  if (asprintf(&text, "%s %s=%s", statement->options, key, hex) > 0) {
    free(statement->options);
    statement->options = text;
  }
  free(hex);
}

static Status set_option(struct Handle *handle, const char *key, const char *value, struct AdbcError *error) {
  if (!ours(key)) return apache.StatementSetOption(handle, key, value, error);
  char path[4096]; /* PATH_MAX: the file is as dbt's process sees it */
  if (!strcmp(key, "adbc.bigquery.ingest.csv_filepath") && realpath(value, path)) value = path;
  keep(handle, key, (const uint8_t *)value, strlen(value));
  return OK;
}

static Status set_option_bytes(struct Handle *handle, const char *key, const uint8_t *value, size_t length,
                               struct AdbcError *error) {
  if (!ours(key)) return apache.StatementSetOptionBytes(handle, key, value, length, error);
  keep(handle, key, value, length);
  return OK;
}

static Status set_sql(struct Handle *handle, const char *sql, struct AdbcError *error) {
  struct Statement *statement = known(handle);
  free(statement->sql);
  statement->sql = strdup(sql);
  return apache.StatementSetSqlQuery(handle, sql, error);
}

static Status execute(struct Handle *handle, struct ArrowArrayStream *out, int64_t *rows, struct AdbcError *error) {
  struct Statement *statement = known(handle);
  char *text;
  if (*statement->options) {
    if (asprintf(&text, "%s/*adbc-bench%s*/", statement->sql ? statement->sql : "", statement->options) < 0)
      return INTERNAL;
    Status status = apache.StatementSetSqlQuery(handle, text, error);
    free(text);
    if (status != OK) return status;
  }
  if (out) return apache.StatementExecuteQuery(handle, out, rows, error);
  struct ArrowArrayStream unwanted = {0};
  Status status = apache.StatementExecuteQuery(handle, &unwanted, rows, error);
  if (status == OK && unwanted.release) unwanted.release(&unwanted);
  return status;
}

static Status release_statement(struct Handle *handle, struct AdbcError *error) {
  pthread_mutex_lock(&lock);
  for (struct Statement **each = &statements; *each; each = &(*each)->next)
    if ((*each)->key == handle->private_data) {
      struct Statement *gone = *each;
      *each = gone->next;
      free(gone->sql);
      free(gone->options);
      free(gone);
      break;
    }
  pthread_mutex_unlock(&lock);
  return apache.StatementRelease(handle, error);
}

Status AdbcDriverInit(int version, void *table, struct AdbcError *error) {
  show_go_the_proxy();
  void *library = dlopen(APACHE_DRIVER, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return INTERNAL;
  }
  Init *init = (Init *)dlsym(library, "AdbcDriverInit");
  Status status = init ? init(version, table, error) : INTERNAL;
  if (status != OK) return status;
  struct Driver *driver = table;
  memcpy(&apache, driver, version >= 1001000 ? sizeof apache : offsetof(struct Driver, errors));
  driver->DatabaseSetOption = set_database_option;
  driver->StatementExecuteQuery = execute;
  driver->StatementRelease = release_statement;
  driver->StatementSetOption = set_option;
  driver->StatementSetSqlQuery = set_sql;
  if (version >= 1001000) driver->StatementSetOptionBytes = set_option_bytes; /* ADBC 1.0 has no such function */
  return OK;
}

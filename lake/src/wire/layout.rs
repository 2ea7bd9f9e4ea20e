//! The catalogues' columns: a table of names, in PostgreSQL's order, for those that clients ask.
//!
//! A column is written `name:kind`; kinds are o (oid), i (integer), b (boolean), t (text), and text where none is said.

/// One catalogue.
pub(super) struct Layout {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    /// Whether it never has a row here.
    pub(super) is_empty: bool,
    columns: &'static str,
}

impl Layout {
    /// Names and kinds.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, char)> {
        self.columns.split_whitespace().map(|column| {
            let (name, kind) = column.split_once(':').unwrap_or((column, "t"));
            (name, kind.chars().next().unwrap_or('t'))
        })
    }
}

const fn filled(name: &'static str, columns: &'static str) -> Layout {
    Layout { schema: "pg_catalog", name, is_empty: false, columns }
}

const fn empty(name: &'static str, columns: &'static str) -> Layout {
    Layout { schema: "pg_catalog", name, is_empty: true, columns }
}

const fn standard(name: &'static str, is_empty: bool, columns: &'static str) -> Layout {
    Layout { schema: "information_schema", name, is_empty, columns }
}

/// All of them. What `catalogue` fills follows the order of columns here.
#[rustfmt::skip]
pub(super) static LAYOUTS: &[Layout] = &[
    filled("pg_namespace", "oid:o nspname nspowner:o nspacl"),
    filled("pg_class", "oid:o relname relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o relpages:i reltuples:i relallvisible:i reltoastrelid:o relhasindex:b relisshared:b relpersistence relkind relnatts:i relchecks:i relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident relispartition:b relrewrite:o relacl reloptions relpartbound"),
    filled("pg_attribute", "attrelid:o attname atttypid:o attstattarget:i attlen:i attnum:i attndims:i attcacheoff:i atttypmod:i attbyval:b attalign attstorage attcompression attnotnull:b atthasdef:b atthasmissing:b attidentity attgenerated attisdropped:b attislocal:b attinhcount:i attcollation:o attacl attoptions attfdwoptions"),
    filled("pg_type", "oid:o typname typnamespace:o typowner:o typlen:i typbyval:b typtype typcategory typispreferred:b typisdefined:b typdelim typrelid:o typelem:o typarray:o typinput typnotnull:b typbasetype:o typtypmod:i typndims:i typcollation:o typdefaultbin typdefault typacl"),
    filled("pg_description", "objoid:o classoid:o objsubid:i description"),
    filled("pg_am", "oid:o amname amhandler amtype"),
    filled("pg_tablespace", "oid:o spcname spcowner:o spcacl spcoptions"),
    filled("pg_database", "oid:o datname datdba:o encoding:i datlocprovider datcollate datctype datistemplate:b datallowconn:b datconnlimit:i dattablespace:o datacl daticulocale datcollversion"),
    filled("pg_roles", "oid:o rolname rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i rolpassword rolvaliduntil rolbypassrls:b rolconfig"),
    filled("pg_authid", "oid:o rolname rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i rolpassword rolvaliduntil rolbypassrls:b rolconfig"),
    filled("pg_user", "usename usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b"),
    filled("pg_tables", "schemaname tablename tableowner tablespace hasindexes:b hasrules:b hastriggers:b rowsecurity:b"),
    filled("pg_settings", "name setting unit category short_desc context vartype source boot_val"),
    empty("pg_attrdef", "oid:o adrelid:o adnum:i adbin"),
    empty("pg_auth_members", "oid:o roleid:o member:o grantor:o admin_option:b"),
    empty("pg_available_extensions", "name default_version installed_version comment"),
    empty("pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext castmethod"),
    empty("pg_collation", "oid:o collname collnamespace:o collowner:o collprovider collisdeterministic:b collencoding:i collcollate collctype"),
    empty("pg_constraint", "oid:o conname connamespace:o contype condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o conindid:o conparentid:o confrelid:o confupdtype confdeltype confmatchtype conislocal:b coninhcount:i connoinherit:b conkey confkey conbin"),
    empty("pg_conversion", "oid:o conname connamespace:o conowner:o"),
    empty("pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype"),
    empty("pg_enum", "oid:o enumtypid:o enumsortorder:i enumlabel"),
    empty("pg_event_trigger", "oid:o evtname evtevent evtowner:o evtfoid:o evtenabled evttags"),
    empty("pg_extension", "oid:o extname extowner:o extnamespace:o extrelocatable:b extversion extconfig extcondition"),
    empty("pg_foreign_data_wrapper", "oid:o fdwname fdwowner:o fdwhandler:o fdwvalidator:o fdwacl fdwoptions"),
    empty("pg_foreign_server", "oid:o srvname srvowner:o srvfdw:o srvtype srvversion srvacl srvoptions"),
    empty("pg_foreign_table", "ftrelid:o ftserver:o ftoptions"),
    empty("pg_index", "indexrelid:o indrelid:o indnatts:i indnkeyatts:i indisunique:b indisprimary:b indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b indisreplident:b indkey indcollation indclass indoption indexprs indpred"),
    empty("pg_indexes", "schemaname tablename indexname tablespace indexdef"),
    empty("pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b"),
    empty("pg_language", "oid:o lanname lanowner:o lanispl:b lanpltrusted:b"),
    empty("pg_locks", "locktype database:o relation:o pid:i mode granted:b"),
    empty("pg_matviews", "schemaname matviewname matviewowner tablespace hasindexes:b ispopulated:b definition"),
    empty("pg_operator", "oid:o oprname oprnamespace:o oprowner:o oprkind oprleft:o oprright:o oprresult:o"),
    empty("pg_partitioned_table", "partrelid:o partstrat partnatts:i partdefid:o"),
    empty("pg_policy", "oid:o polname polrelid:o polcmd polpermissive:b polroles polqual polwithcheck"),
    empty("pg_proc", "oid:o proname pronamespace:o proowner:o prolang:o prokind proretset:b pronargs:i prorettype:o proargtypes prosrc"),
    empty("pg_publication", "oid:o pubname pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b"),
    empty("pg_publication_namespace", "oid:o pnpubid:o pnnspid:o"),
    empty("pg_publication_rel", "oid:o prpubid:o prrelid:o prqual prattrs"),
    empty("pg_replication_slots", "slot_name plugin slot_type"),
    empty("pg_rewrite", "oid:o rulename ev_class:o ev_type ev_enabled is_instead:b"),
    empty("pg_seclabel", "objoid:o classoid:o objsubid:i provider label"),
    empty("pg_sequence", "seqrelid:o seqtypid:o"),
    empty("pg_sequences", "schemaname sequencename sequenceowner data_type"),
    empty("pg_shdescription", "objoid:o classoid:o description"),
    empty("pg_stat_activity", "datid:o datname pid:i usesysid:o usename application_name client_addr state query"),
    empty("pg_stat_user_tables", "relid:o schemaname relname seq_scan:i n_live_tup:i n_dead_tup:i"),
    empty("pg_statistic_ext", "oid:o stxrelid:o stxname stxnamespace:o stxowner:o stxstattarget:i stxkeys stxkind"),
    empty("pg_trigger", "oid:o tgrelid:o tgparentid:o tgname tgfoid:o tgtype:i tgenabled tgisinternal:b tgconstrrelid:o tgconstrindid:o tgconstraint:o"),
    empty("pg_ts_config", "oid:o cfgname cfgnamespace:o cfgowner:o cfgparser:o"),
    empty("pg_views", "schemaname viewname viewowner definition"),
    standard("schemata", false, "catalog_name schema_name schema_owner"),
    standard("tables", false, "table_catalog table_schema table_name table_type is_insertable_into is_typed"),
    standard("columns", false, "table_catalog table_schema table_name column_name ordinal_position:i column_default is_nullable data_type character_maximum_length:i character_octet_length:i numeric_precision:i numeric_scale:i datetime_precision:i udt_catalog udt_schema udt_name is_identity is_generated is_updatable"),
    standard("views", true, "table_catalog table_schema table_name view_definition"),
    standard("routines", true, "specific_catalog specific_schema specific_name routine_catalog routine_schema routine_name routine_type"),
    standard("sequences", true, "sequence_catalog sequence_schema sequence_name"),
    standard("table_constraints", true, "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name constraint_type"),
    standard("key_column_usage", true, "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name column_name ordinal_position:i"),
    standard("referential_constraints", true, "constraint_catalog constraint_schema constraint_name unique_constraint_schema unique_constraint_name"),
    standard("constraint_column_usage", true, "table_catalog table_schema table_name column_name constraint_catalog constraint_schema constraint_name"),
    standard("triggers", true, "trigger_catalog trigger_schema trigger_name event_object_table"),
];

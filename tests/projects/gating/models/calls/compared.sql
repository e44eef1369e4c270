select {{ function('beyond') }}(id) as id from {{ source('raw', 'unread') }}

select {{ var('day', 1) }} as day, '{{ env_var('REPLANNED_NAME', 'nobody') }}' as name, {{ helper.number() }} as number
